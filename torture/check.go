package main

import (
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is one request on a register, and what came of it.
type operation struct {
	client    int
	key, kind string
	value     string
	expected  int32 // of a compare-and-set
	version   int32 // as answered
	changed   int64 // when the register was written, as answered
	refused   bool  // by its version
	unknown   bool  // not answered
	call, end int64
}

// state of a register: what was written last, and how often it was written.
type state struct {
	value   string
	version int32
}

func step(before, in, _ interface{}) (bool, interface{}) {
	s, op := before.(state), in.(operation)
	written := state{op.value, s.version + 1}
	switch {
	case op.kind == "get":
		return op.value == s.value && op.version == s.version, s
	case op.unknown && op.kind == "cas" && s.version != op.expected:
		return true, s
	case op.unknown:
		return true, written
	case op.refused:
		return s.version != op.expected, s
	case op.kind == "cas" && s.version != op.expected:
		return false, s
	default:
		return op.version == written.version, written
	}
}

var model = porcupine.Model{
	Init: func() interface{} { return state{"first", 0} },
	Step: step,
	DescribeOperation: func(in, _ interface{}) string {
		op := in.(operation)
		return fmt.Sprintf("%s %s v%d", op.kind, op.value, op.version)
	},
}

// checkRegisters finds histories that no register could have had.
func (r *recorder) checkRegisters() (checked, undecided int) {
	byKey := map[string][]operation{}
	for _, op := range r.history {
		byKey[op.key] = append(byKey[op.key], op)
	}
	keys := make([]string, 0, len(byKey))
	for key := range byKey {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		var history []porcupine.Operation
		for _, op := range byKey[key] {
			end := op.end
			if op.unknown {
				// It may take effect at any time from now on, or never: then it comes last.
				end = math.MaxInt64
			}
			history = append(history, porcupine.Operation{ClientId: op.client, Input: op, Call: op.call, Return: end})
		}
		switch porcupine.CheckOperationsTimeout(model, history, time.Minute) {
		case porcupine.Illegal:
			r.findings.add("the history of %s (%d operations) is not linearizable", key, len(history))
		case porcupine.Unknown:
			undecided++
		}
		checked += len(history)
	}
	return checked, undecided
}

// checkLock finds two clients that had the lock at once.
func (r *recorder) checkLock() {
	sort.Slice(r.holds, func(a, b int) bool { return r.holds[a].from < r.holds[b].from })
	for n := 1; n < len(r.holds); n++ {
		before, after := r.holds[n-1], r.holds[n]
		if after.from < before.to {
			r.findings.add("clients %d and %d had the lock at once, at %d ms", before.client, after.client, after.from/1e6)
		}
	}
}

// checkTimes finds a write whose time differs between two answers, or lies before that of the write
// before it: whatever the members' clocks say, times in the log never go back.
func (r *recorder) checkTimes() {
	type write struct {
		key     string
		version int32
	}
	times := map[write]int64{}
	for _, op := range r.history {
		if op.unknown || op.refused {
			continue
		}
		at := write{op.key, op.version}
		if before, seen := times[at]; seen && before != op.changed {
			r.findings.add("%s was written as version %d at %d, and at %d", op.key, op.version, before, op.changed)
		}
		times[at] = op.changed
	}
	for at, changed := range times {
		if before, seen := times[write{at.key, at.version - 1}]; seen && changed < before {
			r.findings.add("%s: version %d is of %d, the one before of %d", at.key, at.version, changed, before)
		}
	}
}
