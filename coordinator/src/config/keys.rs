//! What becomes of each key that Apache ZooKeeper knows: a key is used, known to have no effect
//! here, or refused because ignoring it would change what the ensemble promises.

/// What the server does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Read into [`super::Config`].
    Used,
    /// Known, and safe to leave aside; the text says why.
    NoEffect(&'static str),
    /// Ignoring it would weaken or change what is promised. `unless` are the values that ask for
    /// nothing (in lower case); `hint` says what to do.
    Refused { unless: &'static [&'static str], hint: &'static str },
}

use Treatment::{NoEffect, Refused, Used};

/// What the server does with `key`; `None` for keys that nobody knows.
pub(super) fn treatment(key: &str) -> Option<Treatment> {
    KEYS.iter()
        .find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == *pattern,
        })
        .map(|&(_, treatment)| treatment)
}

/// Keys of this server's own, for the message about a misspelt one.
pub(super) fn own_keys() -> Vec<&'static str> {
    KEYS.iter().map(|&(key, _)| key).filter(|key| key.starts_with("coordinator.")).collect()
}

const NO_REVOCATION: Treatment = Refused {
    unless: &["false"],
    hint: "revocation is not checked: set it to false or remove the key, and take certificates out of the trust store, or give them short lives",
};
const NO_JAVA_CLASS: Treatment = Refused {
    unless: &[""],
    hint: "Java classes cannot be loaded: name stores by keyStore.location and trustStore.location",
};
const NO_PEER_SASL: Treatment = Refused {
    unless: &["false"],
    hint: "members do not log in to each other: set it to false or remove the key; they prove themselves by `coordinator.secretFile`",
};
const NO_KERBEROS: Treatment = NoEffect("Kerberos is not supported, its libraries are C");
const BY_CLIENT: Treatment = NoEffect("it concerns clients");
const NO_HIERARCHY: Treatment = Refused {
    unless: &[],
    hint: "hierarchical quorums are not supported: remove all group.N and weight.N, every participant has one vote",
};
const LOG_OF_OUR_OWN: Treatment = NoEffect("the log has a format and limits of its own");
const ONE_THREAD: Treatment = NoEffect("requests are served by one thread without such queues");
const RAFT: Treatment = NoEffect("replication is Raft's, which has no such setting");
const JVM: Treatment = NoEffect("it concerns the Java virtual machine");

/// First match wins; `*` at the end stands for any rest.
const KEYS: &[(&str, Treatment)] = &[
    ("tickTime", Used),
    ("initLimit", Used),
    ("syncLimit", Used),
    ("dataDir", Used),
    ("dataLogDir", Used),
    ("clientPort", Used),
    ("clientPortAddress", Used),
    ("maxClientCnxns", Used),
    ("maxCnxns", Used),
    ("minSessionTimeout", Used),
    ("maxSessionTimeout", Used),
    ("autopurge.snapRetainCount", Used),
    ("autopurge.purgeInterval", Used),
    ("snapCount", Used),
    ("fsync.warningthresholdms", Used),
    ("forceSync", Used),
    ("quorumListenOnAllIPs", Used),
    ("peerType", Used),
    ("server.*", Used),
    ("standaloneEnabled", Used),
    ("4lw.commands.whitelist", Used),
    ("extendedTypesEnabled", Used),
    ("znode.container.checkIntervalMs", Used),
    ("znode.container.maxNeverUsedIntervalMs", Used),
    ("znode.container.maxPerMinute", Used),
    ("globalOutstandingLimit", Used),
    ("largeRequestMaxBytes", Used),
    ("jute.maxbuffer", Used),
    ("skipACL", Used),
    ("enforceQuota", Used),
    ("DigestAuthenticationProvider.superDigest", Used),
    ("readonlymode.enabled", Used),
    ("admin.enableServer", Used),
    ("admin.serverAddress", Used),
    ("admin.serverPort", Used),
    ("admin.commandURL", Used),
    ("admin.portUnification", Used),
    ("admin.forceHttps", Used),
    ("admin.needClientAuth", Used),
    ("metricsProvider.className", Used),
    ("metricsProvider.httpPort", Used),
    ("metricsProvider.httpHost", Used),
    ("metricsProvider.httpsPort", Used),
    ("metricsProvider.ssl.keyStore.location", Used),
    ("metricsProvider.ssl.keyStore.password", Used),
    ("metricsProvider.ssl.keyStore.passwordPath", Used),
    ("metricsProvider.ssl.keyStore.type", Used),
    ("metricsProvider.ssl.trustStore.location", Used),
    ("metricsProvider.ssl.trustStore.password", Used),
    ("metricsProvider.ssl.trustStore.passwordPath", Used),
    ("metricsProvider.ssl.trustStore.type", Used),
    ("metricsProvider.ssl.protocol", Used),
    ("metricsProvider.ssl.enabledProtocols", Used),
    ("metricsProvider.ssl.ciphersuites", Used),
    ("metricsProvider.ssl.need.client.auth", Used),
    ("metricsProvider.ssl.want.client.auth", Used),
    ("coordinator.electionTimeoutMs", Used),
    ("coordinator.heartbeatMs", Used),
    ("coordinator.secretFile", Used),
    ("coordinator.adminSocket", Used),
    ("coordinator.busyPoll", Used),
    ("coordinator.sessionPasswords", Used),
    // See `super::audit`.
    ("audit.enable", Used),
    ("audit.impl.class", Used),
    ("coordinator.auditFile", Used),
    ("coordinator.auditFileBytes", Used),
    ("coordinator.auditFilesKept", Used),
    // Who callers are: see `super::security`.
    ("coordinator.jaasFile", Used),
    ("java.security.auth.login.config", Used),
    ("sasl.serverconfig", Used),
    ("SASLAuthenticationProvider.superPassword", Used),
    ("superUser", Used),
    ("superUser.*", Used),
    ("allowSaslFailedClients", Used),
    ("sessionRequireClientSASLAuth", Used),
    ("enforce.auth.enabled", Used),
    ("enforce.auth.schemes", Used),
    // TLS for clients: see `super::tls`.
    ("secureClientPort", Used),
    ("secureClientPortAddress", Used),
    ("client.portUnification", Used),
    ("ssl.keyStore.location", Used),
    ("ssl.keyStore.password", Used),
    ("ssl.keyStore.passwordPath", Used),
    ("ssl.keyStore.type", Used),
    ("ssl.trustStore.location", Used),
    ("ssl.trustStore.password", Used),
    ("ssl.trustStore.passwordPath", Used),
    ("ssl.trustStore.type", Used),
    ("ssl.protocol", Used),
    ("ssl.enabledProtocols", Used),
    ("ssl.ciphersuites", Used),
    ("ssl.clientAuth", Used),
    // TLS between members.
    ("sslQuorum", Used),
    ("portUnification", Used),
    ("ssl.quorum.keyStore.location", Used),
    ("ssl.quorum.keyStore.password", Used),
    ("ssl.quorum.keyStore.passwordPath", Used),
    ("ssl.quorum.keyStore.type", Used),
    ("ssl.quorum.trustStore.location", Used),
    ("ssl.quorum.trustStore.password", Used),
    ("ssl.quorum.trustStore.passwordPath", Used),
    ("ssl.quorum.trustStore.type", Used),
    ("ssl.quorum.protocol", Used),
    ("ssl.quorum.enabledProtocols", Used),
    ("ssl.quorum.ciphersuites", Used),
    ("ssl.quorum.clientAuth", Used),
    ("ssl.quorum.hostnameVerification", Used),
    ("ssl.quorum.clientHostnameVerification", Used),
    ("ssl.quorum.crl", NO_REVOCATION),
    ("ssl.quorum.ocsp", NO_REVOCATION),
    ("ssl.quorum.context.supplier.class", NO_JAVA_CLASS),
    ("ssl.quorum.allowReverseDnsLookup", NoEffect("certificates are compared with `server.N`")),
    ("ssl.quorum.handshakeDetectionTimeoutMillis", NoEffect("a handshake has 3 seconds")),
    ("sslQuorumReloadCertFiles", NoEffect("stores are read again whenever they change")),
    ("X509AuthenticationProvider.superUser", Used),
    ("ssl.hostnameVerification", NoEffect("clients have no names to verify, as in ZooKeeper")),
    ("ssl.allowReverseDnsLookup", NoEffect("names of clients are not looked up")),
    ("ssl.handshakeDetectionTimeoutMillis", NoEffect("a handshake has 10 seconds")),
    ("client.certReload", NoEffect("stores are read again whenever they change")),
    // Refused: members, votes and configuration.
    ("group.*", NO_HIERARCHY),
    ("weight.*", NO_HIERARCHY),
    (
        "electionAlg",
        Refused { unless: &["3"], hint: "elections are Raft's: remove the key or leave it at 3" },
    ),
    ("reconfigEnabled", Used),
    ("dynamicConfigFile", Used),
    ("localSessionsEnabled", Used),
    ("localSessionsUpgradingEnabled", Used),
    ("multiAddress.enabled", Used),
    (
        "multiAddress.*",
        NoEffect("each address is dialled in turn: whether it answers is found by dialling it"),
    ),
    (
        "db.autocreate",
        Refused {
            unless: &["true"],
            hint: "remove the key: a member that lost its data never votes before it has caught up, without an `initialize` file",
        },
    ),
    // Refused: who may connect and what they may do.
    ("ssl.quorum.*", NoEffect("TLS between members needs no such setting")),
    ("ssl.crl", NO_REVOCATION),
    ("ssl.ocsp", NO_REVOCATION),
    (
        "ssl.clientHostnameVerification",
        Refused {
            unless: &["false"],
            hint: "names of clients are not looked up: set it to false or remove the key, and name subjects in ACLs",
        },
    ),
    ("ssl.context.supplier.class", NO_JAVA_CLASS),
    (
        "ssl.authProvider",
        Refused { unless: &["", "x509"], hint: "x509 is built in: remove the key" },
    ),
    ("quorum.auth.enableSasl", NO_PEER_SASL),
    ("quorum.auth.learnerRequireSasl", NO_PEER_SASL),
    ("quorum.auth.serverRequireSasl", NO_PEER_SASL),
    ("quorum.auth.*", NoEffect("peers prove themselves by `coordinator.secretFile`")),
    (
        "requireClientAuthScheme",
        NoEffect(
            "nor has it in ZooKeeper: `enforce.auth.enabled` and `enforce.auth.schemes` have clients authenticate",
        ),
    ),
    (
        "letAnySaslUserDoX",
        Refused { unless: &[""], hint: "name the users in ACLs, and remove the key" },
    ),
    (
        "DigestAuthenticationProvider.digestAlg",
        Refused {
            unless: &["sha1"],
            hint: "digests are SHA1, as in ZooKeeper's default: remove the key",
        },
    ),
    (
        "DigestAuthenticationProvider.enabled",
        Refused {
            unless: &["true"],
            hint: "the digest scheme cannot be switched off: remove the key",
        },
    ),
    // Authentication providers beside the built-in ones: see `super::builder`.
    ("authProvider.*", Used),
    ("jaasLoginRenew", NO_KERBEROS),
    ("kerberos.*", NO_KERBEROS),
    ("java.security.krb5.conf", NO_KERBEROS),
    ("sasl.*", BY_CLIENT),
    ("X509AuthenticationProvider.*", NoEffect("what a certificate may do is judged in one way")),
    ("fips-mode", NoEffect("what a certificate may do is judged in one way")),
    // Without effect.
    ("serverCnxnFactory", NoEffect("there is one way to serve connections")),
    ("clientPortListenBacklog", NoEffect("the listen queue is as long as the system allows")),
    ("connectToLearnerMasterLimit", RAFT),
    ("cnxTimeout", RAFT),
    ("commitLogCount", RAFT),
    ("leader.*", RAFT),
    ("learner.*", RAFT),
    ("observer.*", RAFT),
    ("observerMasterPort", RAFT),
    ("follower.*", RAFT),
    ("electionPortBindRetry", RAFT),
    ("quorumCnxnTimeoutMs", RAFT),
    ("maxTimeToWaitForEpoch", RAFT),
    ("connectionMaxTokens", NoEffect("connections are limited by count, not by rate")),
    ("connectionTokenFillTime", NoEffect("connections are limited by count, not by rate")),
    ("connectionTokenFillCount", NoEffect("connections are limited by count, not by rate")),
    ("connection_throttle_*", NoEffect("connections are limited by count, not by rate")),
    ("leaderServes", NoEffect("the leader serves clients too, at little cost")),
    ("syncEnabled", NoEffect("observers keep a log too")),
    ("preAllocSize", LOG_OF_OUR_OWN),
    ("txnLogSizeLimitInKb", LOG_OF_OUR_OWN),
    ("snapSizeLimitInKb", LOG_OF_OUR_OWN),
    ("snapshot.compression.method", LOG_OF_OUR_OWN),
    ("snapshot.trust.empty", LOG_OF_OUR_OWN),
    ("digest.enabled", LOG_OF_OUR_OWN),
    ("serializeLastProcessedZxid.enabled", LOG_OF_OUR_OWN),
    ("compressionMethod", LOG_OF_OUR_OWN),
    ("flushDelay", LOG_OF_OUR_OWN),
    ("maxBatchSize", LOG_OF_OUR_OWN),
    ("maxWriteQueuePollTime", LOG_OF_OUR_OWN),
    ("preCommitBuffer", LOG_OF_OUR_OWN),
    ("closeSessionTxn.enabled", LOG_OF_OUR_OWN),
    ("serverSnapshotThrottle*", LOG_OF_OUR_OWN),
    ("forceSyncEveryNTxns", LOG_OF_OUR_OWN),
    ("commitProcessor.*", ONE_THREAD),
    ("fastleader.*", RAFT),
    ("skipTxnLogRecovery", LOG_OF_OUR_OWN),
    ("maxConcurrentSnapSyncs", RAFT),
    ("maxConcurrentDiffSyncs", RAFT),
    ("maxConcurrentSnapshots", RAFT),
    ("maxConcurrentDiffs", RAFT),
    ("nio.*", ONE_THREAD),
    ("netty.*", ONE_THREAD),
    ("request_*", ONE_THREAD),
    ("requestStaleLatencyCheck", ONE_THREAD),
    ("requestStaleConnectionCheck", ONE_THREAD),
    ("request.timeout", ONE_THREAD),
    ("throttledOpWaitTime", ONE_THREAD),
    (
        "largeRequestThreshold",
        NoEffect("requests of every length count toward `largeRequestMaxBytes`"),
    ),
    ("outstandingHandshake.limit", ONE_THREAD),
    ("maxResponseCacheSize", NoEffect("replies are made faster than they are looked up")),
    (
        "maxGetChildrenResponseCacheSize",
        NoEffect("replies are made faster than they are looked up"),
    ),
    ("watchManaged*", ONE_THREAD),
    ("watchManagerName", ONE_THREAD),
    ("watcherCleanThreadsNum", ONE_THREAD),
    ("watcherCleanThreshold", ONE_THREAD),
    ("watcherCleanIntervalInSeconds", ONE_THREAD),
    ("maxInProcessingDeadWatchers", ONE_THREAD),
    ("bitHashCacheSize", ONE_THREAD),
    ("pathStats.*", ONE_THREAD),
    ("tcpKeepAlive", NoEffect("heartbeats find dead connections")),
    ("closeSessionOn*", ONE_THREAD),
    ("intBufferStartingSizeBytes", JVM),
    ("jvm.*", JVM),
    ("jvmPauseMonitor.*", JVM),
    ("jmx.*", JVM),
    ("metricsProvider.exportJvmInfo", JVM),
    ("metricsProvider.*", NoEffect("metrics need no tuning")),
    ("admin.*", NoEffect("the admin server only reads, and needs no such setting")),
    ("ipReachableTimeout", NoEffect("addresses are not tested before use")),
    ("tcpNoDelay", NoEffect("small packets are never held back")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A key behind a pattern that already covers it would never be reached.
    #[test]
    fn every_key_is_reached() {
        for (at, (pattern, _)) in KEYS.iter().enumerate() {
            let covered = KEYS[..at].iter().any(|(earlier, _)| match earlier.strip_suffix('*') {
                Some(prefix) => pattern.starts_with(prefix),
                None => earlier == pattern,
            });
            assert!(!covered, "`{pattern}` stands behind a pattern that covers it");
        }
    }

    #[test]
    fn the_documentation_names_every_key() {
        let page = include_str!("../../../docs/coordinator.md");
        for (pattern, _) in KEYS {
            let pattern = if *pattern == "server.*" { "server.N" } else { pattern };
            assert!(page.contains(&format!("`{pattern}`")), "`{pattern}` is missing");
        }
    }
}
