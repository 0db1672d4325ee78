"""`crossdock partner`: clients of the development issuer, and secrets that stay out of the shell's history."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossdock_cli.errors import CommandError
from crossdock_local import issuer
from crossdock_local.commands.partner import partner


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(home / "s"))


def run(*arguments: str) -> str:
    done = CliRunner().invoke(partner, arguments)
    if done.exception:
        raise done.exception
    return done.output


def clients() -> dict[str, str]:
    """Return the partner of each client by its id."""
    return {each["client_id"]: each["partner"] for each in json.loads(run("list", "--json"))["items"]}


def stored(home: Path) -> dict[str, issuer.Client]:
    return {each.id: each for each in issuer.partners(home / "s" / "issuer")}


def test_commands_with_a_secret_do_not_contain_it(home: Path) -> None:
    printed = run("add", "acme")
    (secret,) = [line.split()[2] for line in printed.splitlines() if line.startswith("client secret")]
    (client,) = stored(home).values()
    assert client.has(secret)
    command = printed.splitlines()[-1]
    assert "curl" in command and client.id in command
    assert secret not in command


def test_secret_can_go_to_a_file_of_the_owner_alone(home: Path) -> None:
    file = home / "acme.curl"
    printed = run("add", "acme", "--file", str(file))
    (client,) = stored(home).values()
    name, secret = file.read_text().removeprefix('user = "').removesuffix('"\n').split(":")
    assert name == client.id
    assert client.has(secret)
    assert secret not in printed
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["taken", "missing/new"])
def test_file_that_cannot_be_created_adds_no_client(home: Path, name: str) -> None:
    (home / "taken").touch()
    with pytest.raises(CommandError, match=r"cannot be created: .* Name a new file"):
        run("add", "acme", "--file", str(home / name))
    assert stored(home) == {}


def test_refused_name_leaves_no_file(home: Path) -> None:
    with pytest.raises(CommandError, match="cannot name a partner"):
        run("add", "Not A Name", "--file", str(home / "new"))
    assert not (home / "new").exists()


def test_list_shows_clients_of_one_or_all_partners() -> None:
    assert "There are no clients" in run("list")
    for name in ("acme", "acme", "initech"):
        run("add", name)
    assert sorted(clients().values()) == ["acme", "acme", "initech"]
    assert run("list", "initech").count("initech-") == 1
    assert "acme-" not in run("list", "initech")
    seen: list[str] = []
    cursor: list[str] = []
    for _ in range(3):
        page = json.loads(run("list", "--limit", "1", "--json", *cursor))
        seen += [each["client_id"] for each in page["items"]]
        cursor = ["--cursor", str(page["next"])]
    assert (seen, page["next"]) == ([*clients()], None)
    assert f"partner list --limit 1 --cursor {seen[0]}" in run("list", "--limit", "1")
    with pytest.raises(CommandError, match="no client gone-1 any more"):
        run("list", "--cursor", "gone-1")


def test_revoked_client_is_gone_and_others_stay() -> None:
    run("add", "acme")
    run("add", "initech")
    run("revoke", "acme")
    assert list(clients().values()) == ["initech"]


def test_rotated_client_keeps_its_id_and_gets_a_new_secret(home: Path) -> None:
    files = [home / "old", home / "new"]
    run("add", "acme", "--file", str(files[0]))
    (before,) = clients()
    run("rotate", before, "--file", str(files[1]))
    (client,) = stored(home).values()
    assert client.id == before
    assert client.scopes == ("orders:read", "orders:write", "catalogue:read", "events:read", "crm:read", "crm:write")
    old, new = (each.read_text().partition(":")[2].removesuffix('"\n') for each in files)
    assert client.has(new)
    assert not client.has(old)


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_unknown_or_ambiguous_client_is_refused(command: str) -> None:
    with pytest.raises(CommandError, match=r"There is no client acme: .*partner list"):
        run(command, "acme")
    for _ in range(2):
        run("add", "acme")
    with pytest.raises(CommandError, match=r"acme has 2 clients: name one of acme-\w+, acme-\w+"):
        run(command, "acme")
    assert len(clients()) == 2
