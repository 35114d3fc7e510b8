"""Patroni: two PostgreSQL servers and a writer, while ZooKeeper's leader, the primary and a majority are killed."""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import ensemble as ensembles
from waiting import seconds_until, until

SERVERS = 3
NAMES = ("one", "two")


def binaries():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def missing():
    for module in ("patroni", "psycopg2", "kazoo"):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    if binaries() is None:
        return "PostgreSQL's server is not installed (.ci/needs apps)"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            return "there is no account postgres, and PostgreSQL refuses to run as root"
    return None


class Node:
    def __init__(self, name, ensemble, folder):
        self.folder = folder / name
        self.folder.mkdir()
        self.name, self.data = name, self.folder / "data"
        self.rest, self.port = ensembles.free_ports(2)
        # JSON is YAML.
        configuration = {
            "scope": "apps", "name": name,
            "restapi": {"listen": f"127.0.0.1:{self.rest}", "connect_address": f"127.0.0.1:{self.rest}"},
            "zookeeper": {"hosts": [server.address for server in ensemble.servers]},
            "bootstrap": {
                "dcs": {"ttl": 20, "loop_wait": 2, "retry_timeout": 5, "synchronous_mode": True,
                        "maximum_lag_on_failover": 1048576,
                        "postgresql": {"use_pg_rewind": True, "parameters": {"wal_log_hints": "on", "fsync": "off"}}},
                "initdb": [{"auth-host": "trust"}, {"auth-local": "trust"}, {"encoding": "UTF8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data), "bin_dir": str(binaries()),
                "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
                "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "standby"},
                                   "rewind": {"username": "rewind"}},
                "pgpass": str(self.folder / "pgpass"),
                "parameters": {"unix_socket_directories": str(self.folder)},
            },
        }  # fmt: skip
        self.configuration = self.folder / "patroni.yml"
        self.configuration.write_text(json.dumps(configuration, indent=1))
        self.process = None

    def start(self):
        as_postgres = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [*as_postgres, sys.executable, "-m", "patroni", str(self.configuration)],
                stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
            )  # fmt: skip

    def kill(self):
        """Patroni and its PostgreSQL at once, as a machine that loses power."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        try:
            os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            pass  # it does not run

    def says(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}/{path}", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def is_primary(self):
        return self.says("primary")

    def accepts_writes(self):
        """As PostgreSQL itself says, whatever Patroni says."""
        import psycopg2

        try:
            with_timeout = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=2"
            connection = psycopg2.connect(with_timeout)
            try:
                cursor = connection.cursor()
                cursor.execute("select pg_is_in_recovery()")
                return not cursor.fetchone()[0]
            finally:
                connection.close()
        except psycopg2.Error:
            return False


class Writer(threading.Thread):
    """Numbers, one a transaction, to whoever takes them."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.acknowledged, self.stop = nodes, [], False
        self.last, self.longest = time.monotonic(), 0.0

    def run(self):
        import psycopg2

        number = 0
        while not self.stop:
            for node in self.nodes:
                try:
                    connection = psycopg2.connect(
                        f"host=127.0.0.1 port={node.port} user=postgres dbname=postgres connect_timeout=2 "
                        "target_session_attrs=read-write options='-c statement_timeout=3000'"
                    )
                    connection.autocommit = True
                    cursor = connection.cursor()
                    while not self.stop:
                        number += 1
                        cursor.execute("insert into numbers values (%s)", (number,))
                        now = time.monotonic()
                        self.longest, self.last = max(self.longest, now - self.last), now
                        self.acknowledged.append(number)
                        time.sleep(0.01)
                except psycopg2.Error:
                    time.sleep(0.05)

    def gap(self):
        longest = max(self.longest, time.monotonic() - self.last)
        self.longest, self.last = 0.0, time.monotonic()
        return round(longest, 2)


class Referee(threading.Thread):
    """Looks all the time whether two take writes at once."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.stop, self.both = nodes, False, 0

    def run(self):
        while not self.stop:
            self.both += all(node.accepts_writes() for node in self.nodes)
            time.sleep(0.1)


def run(ensemble, folder, report, quick=False):
    import psycopg2

    folder.chmod(0o755)
    nodes = [Node(name, ensemble, folder) for name in NAMES]
    writer, referee = Writer(nodes), Referee(nodes)
    try:
        for node in nodes:
            node.start()
        report("bootstrap, s", seconds_until(lambda: any(node.is_primary() for node in nodes)))
        primary = next(node for node in nodes if node.is_primary())
        replica = next(node for node in nodes if node is not primary)
        until(lambda: replica.says("synchronous"))
        connection = psycopg2.connect(f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres")
        connection.autocommit = True
        connection.cursor().execute("create table numbers (n bigint)")
        connection.close()
        writer.start()
        referee.start()
        until(lambda: len(writer.acknowledged) > 100)

        writer.gap()
        leader = ensemble.leader()
        leader.stop(kill=True)
        time.sleep(8)
        assert primary.is_primary(), "another leader of ZooKeeper's is no reason to fail over"
        report("ZooKeeper's leader killed: longest time without a commit, s", writer.gap())
        leader.start()
        until(leader.mode)

        primary.kill()
        report("primary killed: another one after, s", seconds_until(replica.is_primary))
        until(lambda: time.monotonic() - writer.last < 1)
        report("… longest time without a commit, s", writer.gap())
        primary, replica = replica, primary
        replica.start()
        until(lambda: replica.says("synchronous"))

        for server in ensemble.servers[:2]:
            server.stop(kill=True)
        report("a majority down: primary demoted after, s", seconds_until(lambda: not primary.accepts_writes()))
        for server in ensemble.servers[:2]:
            server.start()
        report("… back: a primary that takes writes after, s", seconds_until(lambda: any(node.accepts_writes() for node in nodes)))
        before = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > before + 50)
        writer.stop = True
        writer.join(10)
        referee.stop = True
        referee.join(10)
        primary = next(node for node in nodes if node.accepts_writes())
        connection = psycopg2.connect(f"host=127.0.0.1 port={primary.port} user=postgres dbname=postgres")
        cursor = connection.cursor()
        cursor.execute("select n from numbers")
        kept = {row[0] for row in cursor.fetchall()}
        connection.close()
        lost = [number for number in writer.acknowledged if number not in kept]
        report("commits acknowledged", len(writer.acknowledged))
        report("lost", len(lost))
        report("both took writes at once", referee.both)
        assert not lost, lost[:10]
        assert referee.both == 0
    except BaseException:
        for node in nodes:
            print((node.folder / "log").read_text(errors="replace")[-3000:] if (node.folder / "log").exists() else "")
        raise
    finally:
        writer.stop = referee.stop = True
        for node in nodes:
            node.kill()
