"""Ensembles on loopback, of the coordinator or of Apache ZooKeeper."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEBIAN_JAR = Path("/usr/share/java/zookeeper.jar")
# Parts of Netty that its manifest forgets, without which it does not speak TLS.
DEBIAN_NETTY = "".join(
    f":/usr/share/java/netty-{part}.jar" for part in ("codec", "resolver", "transport-native-unix-common")
)
SHIM = Path(__file__).resolve().parent / "shim"
# Beside the one jar: what Netty needs, which the harness asks the server to use.
HARNESS_JARS = [
    "zookeeper", "netty-buffer", "netty-codec", "netty-common", "netty-handler", "netty-resolver",
    "netty-transport", "netty-transport-native-unix-common", "slf4j-log4j12", "log4j-1.2",
]  # fmt: skip
ENGINES = ("coordinator", "apache")
START_SECONDS = 60
STOP_SECONDS = 20
PORTS = [int(port) for port in os.environ.get("CONFORMANCE_PORTS", "22000-30000").split("-")]

LOG4J = """\
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n
log4j.logger.org.apache.zookeeper.audit.Slf4jAuditLogger=INFO, audit
log4j.additivity.org.apache.zookeeper.audit.Slf4jAuditLogger=false
log4j.appender.audit=org.apache.log4j.FileAppender
log4j.appender.audit.File=audit.log
log4j.appender.audit.layout=org.apache.log4j.PatternLayout
log4j.appender.audit.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


def coordinator_binary():
    """The binary named in the environment, else the newest build."""
    named = os.environ.get("COORDINATOR")
    if named:
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    builds = [target / profile / "coordinator" for profile in ("release", "fast", "debug")]
    builds = [build for build in builds if build.exists()]
    if not builds:
        raise SystemExit("conformance: no coordinator is built: run `cargo build -p coordinator`")
    return max(builds, key=lambda build: build.stat().st_mtime)


def missing(engine):
    """What this machine lacks to run the engine, or None."""
    if engine == "apache":
        if shutil.which("java") is None:
            return "java is missing"
        if not DEBIAN_JAR.exists():
            return f"{DEBIAN_JAR} is missing (Debian's package zookeeper)"
    return None


def harness_environment(engine):
    """For a harness that starts `java … QuorumPeerMain CFG` by itself."""
    found = {**os.environ, "ZOOKEEPER_CLASSPATH": ":".join(f"/usr/share/java/{jar}.jar" for jar in HARNESS_JARS)}
    if engine == "coordinator":
        found["COORDINATOR"] = str(coordinator_binary())
        found["PATH"] = f"{SHIM}:{found['PATH']}"
    return found


given = set()


def free_ports(count):
    """Ports that nobody listens on, from below those that the system gives to connections.

    None twice: who got the first may not listen yet.
    """
    found = []
    if len(given) > (PORTS[1] - PORTS[0]) // 2:
        given.clear()
    while len(found) < count:
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given:
            given.add(port)
            found.append(port)
    return found


def four_letter_word(port, word, timeout=5):
    """The whole answer to a word; empty when the server closes without one."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(word.encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer.decode()


class Server:
    def __init__(self, ensemble, number):
        self.ensemble = ensemble
        self.id = number
        self.client_port, self.quorum_port, self.election_port, self.admin_port = free_ports(4)
        self.directory = ensemble.directory / str(number)
        self.data = self.directory / "data"
        self.log_path = self.directory / "log"
        self.process = None

    @property
    def address(self):
        return f"127.0.0.1:{self.client_port}"

    def write_configuration(self):
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "myid").write_text(f"{self.id}\n")
        (self.directory / "log4j.properties").write_text(LOG4J)
        lines = {
            "tickTime": 2000,
            "initLimit": 10,
            "syncLimit": 5,
            "dataDir": self.data,
            "clientPort": self.client_port,
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "*",
            "extendedTypesEnabled": "true",
            "admin.serverPort": self.admin_port,
        }
        lines.update(self.ensemble.extra)
        if self.ensemble.size > 1:
            for server in self.ensemble.servers:
                ports = f"{server.quorum_port}:{server.election_port}"
                lines[f"server.{server.id}"] = f"127.0.0.1:{ports}"
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        (self.directory / "zoo.cfg").write_text(text)

    def command(self):
        configuration = str(self.directory / "zoo.cfg")
        if self.ensemble.engine == "coordinator":
            return [str(coordinator_binary()), "serve", configuration]
        classpath = os.environ.get("ZOOKEEPER_CLASSPATH", f"{DEBIAN_JAR}{DEBIAN_NETTY}")
        if self.ensemble.extra.get("audit.enable") == "true":
            # Without a binding of slf4j nothing is logged, the audit log included.
            classpath += "".join(f":/usr/share/java/{name}.jar" for name in ("slf4j-log4j12", "log4j-1.2"))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        # Read from the command line alone, without `zookeeper.` before them.
        plain = [f"-D{key}={value}" for key, value in self.ensemble.extra.items()
                 if key.startswith(("znode.container.", "readonlymode.", "java.security."))]  # fmt: skip
        return ["java", "-Xmx512m", *plain, "-cp", f"{self.directory}:{classpath}", main, configuration]

    def start(self):
        self.write_configuration()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.directory
            )

    def stop(self, kill=False):
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def mode(self):
        """leader, follower, standalone … or None while it does not serve."""
        try:
            answer = four_letter_word(self.client_port, "srvr", 2)
        except OSError:
            return None
        for line in answer.splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def audit(self):
        return (self.directory / "audit.log").read_text()

    def is_alive(self):
        return self.process is not None and self.process.poll() is None


class Ensemble:
    """Servers with ids from 1; a context manager that waits until all of them serve."""

    def __init__(self, engine, size=3, extra=None):
        self.engine, self.size = engine, size
        self.extra = extra or {}
        self.directory = Path(tempfile.mkdtemp(prefix=f"conformance-{engine}-"))
        self.servers = []
        for number in range(1, size + 1):
            self.servers.append(Server(self, number))

    @property
    def hosts(self):
        return ",".join(server.address for server in self.servers)

    def leader(self):
        return next((s for s in self.servers if s.mode() in ("leader", "standalone")), None)

    def followers(self):
        return [server for server in self.servers if server.mode() == "follower"]

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for server in self.servers:
                if server.process is not None and server.process.poll() is not None:
                    code = server.process.returncode
                    raise RuntimeError(f"server {server.id} ended with {code}:\n{server.log()}")
            if all(server.mode() for server in self.servers if server.process):
                return self
            time.sleep(0.1)
        logs = "\n".join(server.log()[-2000:] for server in self.servers)
        raise RuntimeError(f"the {self.engine} ensemble does not serve:\n{logs}")

    def __enter__(self):
        for server in self.servers:
            server.start()
        try:
            return self.wait()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for server in self.servers:
            server.stop(kill=True)
        if "CONFORMANCE_KEEP" not in os.environ:
            shutil.rmtree(self.directory, ignore_errors=True)
