package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// disk is a server's own, where this program may mount one: it can be filled, and an ext4 of its own
// can be stopped, so that whatever writes to it hangs.
type disk struct{ path, kind string }

func newDisk(path string) disk {
	image := path + ".image"
	if file, err := os.Create(image); err == nil {
		err := file.Truncate(128 << 20)
		file.Close()
		if err == nil && tool("", "mkfs.ext4", "-q", "-F", image) == nil && tool("", "mount", "-o", "loop", image, path) == nil {
			return disk{path, "ext4"}
		}
	}
	if syscall.Mount("tmpfs", path, "tmpfs", 0, "size=128m") == nil {
		return disk{path, "tmpfs"}
	}
	return disk{path, ""}
}

// hang stops all writes to an ext4 for so long. One process ends what it has begun, whatever becomes of this one.
func (d disk) hang(hold time.Duration) {
	if d.kind != "ext4" {
		return // never the machine's own file system
	}
	script := fmt.Sprintf(`fsfreeze -f "$1" && sleep %.3f; fsfreeze -u "$1"`, hold.Seconds())
	exec.Command("sh", "-c", script, "sh", d.path).Run()
}

func (d disk) unmount() {
	if d.kind != "" {
		syscall.Unmount(d.path, 0)
	}
}
