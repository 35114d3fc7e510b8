# The same commands on a laptop and in CI. What they grow into lives in `.ci/`.
.DEFAULT_GOAL := help
.PHONY: help build demo demo-local clean-demo demo-kafka demo-vagrant kafka-dist test bench bench-quick soak torture torture-releases failover fuzz conformance apps e2e

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## zkprov, and the coordinator for x86_64 and aarch64 hosts
	@.ci/build

demo: ## three real hosts on this machine, from nothing to a serving ensemble
	@.ci/demo

demo-local: ## three coordinators on loopback as the present user, no privileges
	@.ci/demo-local

clean-demo: ## takes away what the demos made
	@.ci/clean-demo

demo-kafka: ## three real hosts with coordinators and brokers, from nothing to a message consumed
	@.ci/demo-kafka

demo-vagrant: ## the same ensemble in machines made by Vagrant
	@.ci/demo-vagrant

kafka-dist: ## Kafka's tarball put together from Maven Central's jars, under out/
	@.ci/kafka-dist

test: ## everything CI checks
	@.ci/test

bench: ## the figures of docs/benchmarks.md, both engines interleaved, and of docs/benchmarks-zkprov.md
	@.ci/bench full

bench-quick: ## a part of them in under three minutes
	@.ci/bench quick

SOAK_SEED ?= 100000
SOAK_SECONDS ?= 3600
soak: ## an hour of simulated faults (SOAK_SECONDS, SOAK_SEED); says which seed failed
	cargo run --locked --profile soak -p coordinator --bin simulate -- --failed --twice 50 --seed $(SOAK_SEED) --runs 10000000 --time $(SOAK_SECONDS) --threads $$(nproc)

TORTURE_SECONDS ?= 300
torture: ## real coordinators under faults with recording clients, three and then five (TORTURE_SECONDS each)
	@.ci/torture $(TORTURE_SECONDS)

torture-releases: ## the same with servers of another commit and of this one (FORMER, TORTURE_SECONDS)
	@.ci/torture releases $(FORMER) $(TORTURE_SECONDS)

FAILOVER_TRIES ?= 40
failover: ## how long clients wait when the leader is cut off, mute or frozen, as root (FAILOVER_TRIES)
	@.ci/torture failover $(FAILOVER_TRIES)

fuzz: ## decoders and parsers against random bytes
	@.ci/fuzz

conformance: ## clients and tests of others on Apache ZooKeeper and the coordinator, into docs/conformance.md
	@.ci/needs build test kafka
	@.ci/conformance

apps: ## Patroni and tooz through killed leaders, primaries and majorities, on both engines by turns
	@.ci/apps

e2e: ## real hosts through every operation and fault, the long version
	@.ci/e2e
