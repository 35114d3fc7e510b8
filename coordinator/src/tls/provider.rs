//! The cryptography: graviola, which is Rust and assembler and needs no C compiler.
//!
//! It demands a CPU of a generation (Broadwell, Zen, any ARM server) and panics on an older one, so
//! nothing here is used before [`missing_features`] has answered with nothing.

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// What this CPU lacks of what TLS needs here, by name; empty: nothing.
pub fn missing_features() -> Vec<&'static str> {
    let mut missing = lacking();
    if missing.is_empty() && !graviola::util::is_cpu_supported() {
        missing.push("a feature that the library does not name");
    }
    missing
}

#[cfg(target_arch = "x86_64")]
fn lacking() -> Vec<&'static str> {
    let have = [
        ("aes", is_x86_feature_detected!("aes")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("bmi1", is_x86_feature_detected!("bmi1")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("adx", is_x86_feature_detected!("adx")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("ssse3", is_x86_feature_detected!("ssse3")),
    ];
    have.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn lacking() -> Vec<&'static str> {
    let have = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
    ];
    have.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

/// The one provider of the process. Call [`missing_features`] before.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls_graviola::default_provider())).clone()
}
