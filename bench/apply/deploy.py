"""What `zkprov apply` does, as a careful hand would write it for pyinfra. Measured by .ci/bench-apply."""

from io import StringIO

from pyinfra import host
from pyinfra.facts.files import Directory
from pyinfra.operations import files, server, systemd

data = host.data

server.group(name="group", group="kafka", system=True)
server.user(
    name="user", user="kafka", group="kafka", system=True,
    create_home=False, ensure_home=False, home="/nonexistent", shell="/usr/sbin/nologin",
)
files.replace(
    name="fstab without swap", path="/etc/fstab",
    text=r"^([^#[:space:]][^[:space:]]*[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]])", replace=r"#\1",
)
settings = files.put(
    name="kernel settings", src=f"{data.files}/60-zkprov.conf", dest="/etc/sysctl.d/60-zkprov.conf", mode="644",
)
server.shell(
    name="kernel settings now", commands="sysctl -q -p /etc/sysctl.d/60-zkprov.conf", _if=settings.did_change,
)
for path, owner, mode in [
    ("/data/zookeeper", "kafka", "750"),
    ("/etc/kafka", "root", "755"),
    ("/usr/local/lib/zkprov", "root", "755"),
]:
    files.directory(name=f"directory {path}", path=path, user=owner, group=owner, mode=mode)
if not host.get_fact(Directory, path="/opt/kafka_2.13-3.3.1/libs"):
    files.put(name="release", src=data.tarball, dest="/tmp/kafka.tgz", mode="644")
    server.shell(
        name="unpack",
        commands="tar xzf /tmp/kafka.tgz -C /opt && chown -R kafka:kafka /opt/kafka_2.13-3.3.1 && rm /tmp/kafka.tgz",
    )
files.link(name="link", path="/opt/kafka", target="kafka_2.13-3.3.1")
files.link(
    name="link to the configuration", path="/opt/kafka_2.13-3.3.1/config/zookeeper.properties",
    target="/etc/kafka/zookeeper.properties", force=True, force_backup=False,
)
changed = [
    files.put(name="coordinator", src=data.coordinator, dest="/usr/local/lib/zkprov/coordinator", mode="755"),
    files.put(
        name="configuration", src=f"{data.files}/zookeeper.properties", dest="/etc/kafka/zookeeper.properties",
        mode="644",
    ),
    files.put(
        name="myid", src=StringIO(f"{data.myid}\n"), dest="/data/zookeeper/myid", user="kafka", group="kafka",
        mode="644",
    ),
    files.put(
        name="unit", src=f"{data.files}/zookeeper.service", dest="/etc/systemd/system/zookeeper.service", mode="644",
    ),
]
if data.bare:
    files.file(
        name="a first start may found the ensemble", path="/data/zookeeper/initialize", user="kafka", group="kafka",
    )
systemd.service(
    name="service", service="zookeeper.service", running=True, enabled=True, daemon_reload=bool(data.bare),
)
if not data.bare:
    systemd.service(
        name="restart", service="zookeeper.service", restarted=True,
        _if=lambda: any(operation.did_change() for operation in changed),
    )
if data.bare:
    server.shell(
        name="serving", commands="for i in $(seq 600); do ss -Hltn 'sport = :2181' | grep -q . && exit; sleep 0.1; done; exit 1",
    )
