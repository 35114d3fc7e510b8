//! `zookeeper.properties` and `myid`.
