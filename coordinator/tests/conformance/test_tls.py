"""TLS and logins as clients that no one here wrote meet them: who is let in, as whom, and who is not."""

import shutil
import subprocess

import pytest
import toolchains
from ensemble import ROOT, Ensemble, free_ports

STORES = ROOT / "coordinator" / "tests" / "tls" / "stores"
SUITES = {
    "TLSv1.2": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLSv1.3": "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384",
}
SUBJECT = "CN=broker one,O=Acme\\, Inc.,C=DE"
JAAS = """Server { org.apache.zookeeper.server.auth.DigestLoginModule required
  user_alice="wonderland"; };
"""


@pytest.fixture(scope="module", params=["PKCS12", "JKS"])
def secured(request, engine, tmp_path_factory):
    """One server with a port for TLS, its stores of one kind, and the address of that port."""
    port = free_ports(1)[0]
    jaas = tmp_path_factory.mktemp("jaas") / "jaas.conf"
    jaas.write_text(JAAS)
    ending = {"PKCS12": "p12", "JKS": "jks"}[request.param]
    keys = {
        "secureClientPort": port,
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "ssl.keyStore.location": STORES / f"server.{ending}",
        "ssl.keyStore.password": "secret",
        "ssl.trustStore.location": STORES / f"trust.{ending}",
        "ssl.trustStore.password": "secret",
        "ssl.enabledProtocols": "TLSv1.2,TLSv1.3",
        "ssl.ciphersuites": ",".join(SUITES.values()),
        "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        "java.security.auth.login.config": jaas,
    }
    with Ensemble(engine, 1, keys) as running:
        yield running, f"127.0.0.1:{port}"


def java_flags(version, kind):
    ending = {"PKCS12": "p12", "JKS": "jks"}[kind]
    given = {
        "client.secure": "true",
        "clientCnxnSocket": "org.apache.zookeeper.ClientCnxnSocketNetty",
        "ssl.keyStore.location": STORES / f"client.{ending}",
        "ssl.keyStore.password": "secret",
        "ssl.trustStore.location": STORES / f"trust.{ending}",
        "ssl.trustStore.password": "secret",
        "ssl.protocol": version,
        "ssl.enabledProtocols": version,
        "ssl.ciphersuites": SUITES[version],
    }
    return [f"-Dzookeeper.{key}={value}" for key, value in given.items()]


@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("profile", ["client-3.6.3", "client-3.8", "client-3.9"])
def test_java(secured, profile, version, kind):
    _, address = secured
    java, *rest = toolchains.java_session(profile, "ClientSession")
    toolchains.run(java, *java_flags(version, kind), *rest, address)


def test_curator(secured):
    java, *rest = toolchains.java_session("curator", "CuratorSession")
    toolchains.run(java, *java_flags("TLSv1.3", "PKCS12"), *rest, secured[1])


def test_go_zk(secured):
    _, address = secured
    toolchains.need("go")
    binary = toolchains.OUT / "go" / "session"
    toolchains.build("go", "build", "-o", binary, ".", cwd=toolchains.HERE / "go")
    toolchains.run(binary, address, "secured", environment={"TLS_STORES": str(STORES)})


def test_c_client_has_no_tls():
    """Debian builds libzookeeper without OpenSSL: there is nothing to connect with."""
    library = "/usr/lib/x86_64-linux-gnu/libzookeeper_mt.so.2"
    if shutil.which("nm") is None:
        pytest.skip("nm is missing")
    symbols = subprocess.run(["nm", "-D", library], stdout=subprocess.PIPE, text=True).stdout
    if not symbols:
        pytest.skip(f"{library} is missing (Debian's package libzookeeper-mt2)")
    assert "zookeeper_init_ssl" not in symbols, "test it over TLS, now that it can"
    pytest.skip("Debian's libzookeeper is built without zookeeper_init_ssl")


def openssl(address, *arguments):
    """`ruok` inside TLS; what comes back, and what openssl says about it."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, "-quiet", "-ign_eof", *map(str, arguments)],
        input=b"ruok",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def pair(name):
    return ["-cert", STORES / f"{name}.pem", "-key", STORES / f"{name}.key"]


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("name", ["client", "ecdsa", "v1"])
def test_let_in(secured, name, version):
    answer, said = openssl(secured[1], *pair(name), version)
    assert answer == "imok", said


EXPIRED = STORES / "expired-all.pem"
REFUSED = {
    "no certificate": [],
    "a foreign CA": pair("stranger"),
    "an expired one": ["-cert", EXPIRED, "-key", EXPIRED],
    "one of servers alone": pair("serveronly"),
    "signed by no authority": pair("forged"),
}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("who", REFUSED)
def test_refused(secured, who, version):
    answer, _ = openssl(secured[1], *REFUSED[who], version)
    assert answer == ""


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_protocols_are_refused(secured, version):
    answer, said = openssl(secured[1], *pair("client"), version, "-cipher", "ALL:@SECLEVEL=0")
    assert answer == ""
    assert "alert" in said or "no protocols" in said or "unexpected eof" in said, said


def kazoo(address, **options):
    from kazoo.client import KazooClient

    files = {"keyfile": STORES / "client.key", "certfile": STORES / "client.pem", "ca": STORES / "ca.pem"}
    return KazooClient(
        address, timeout=10, use_ssl=True, **{key: str(value) for key, value in files.items()}, **options
    )


def test_identities(secured):
    """The subject as RFC 2253 writes it, and the user, are what `auth` in an ACL stands for."""
    from kazoo.security import ACL, Id

    _, address = secured
    login = {"mechanism": "DIGEST-MD5", "username": "alice", "password": "wonderland"}
    client = kazoo(address, sasl_options=login)
    client.start(30)
    try:
        client.create("/mine", acl=[ACL(31, Id("auth", ""))])
        acls, _ = client.get_acls("/mine")
        assert sorted((acl.id.scheme, acl.id.id) for acl in acls) == [
            ("sasl", "alice"),
            ("x509", SUBJECT),
        ]
        client.delete("/mine")
    finally:
        client.stop()
        client.close()


def test_a_wrong_password_is_refused(secured):
    from kazoo.exceptions import AuthFailedError

    login = {"mechanism": "DIGEST-MD5", "username": "alice", "password": "queen"}
    client = kazoo(secured[1], sasl_options=login)
    try:
        with pytest.raises(AuthFailedError):
            client.start(30)
            client.get_children("/")
    finally:
        client.stop()
        client.close()
