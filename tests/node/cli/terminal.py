"""People at terminals: a borrower and organisations with keys in a directory, and a node to talk to."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from nacl.public import PrivateKey

from node.cli.common import EXIT_OK
from node.cli.main import main
from node.client.keyfile import Cost, derive_enc_key, seal_seed, write_key_file
from node.demo.statements import Format, Profile, make_statement
from node.keystore import write_key
from protocol.genesis import encode_genesis
from tests.node.api.harness import DevNode, make_seed

PASSPHRASE = "correct horse battery"
CHEAP = Cost(1, 8_192)
"""What libsodium takes at least."""


def write_secret(path: Path, text: str) -> Path:
    """A passphrase in a file of its owner alone."""
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return path


class Desk:
    """A borrower at a terminal: a directory with key, passphrase, genesis and statement, and a node to talk to."""

    def __init__(self, folder: Path, node: DevNode, url: str) -> None:
        self.folder, self.node, self.url = folder, node, url
        self.key = folder / "me.key"
        self.secret = folder / "passphrase"
        self.genesis = folder / "genesis.json"
        self.statement = folder / "statement.ofx"
        seed = make_seed("li-na")
        write_key_file(
            self.key,
            seal_seed(seed, PASSPHRASE, cost=CHEAP),
        )
        write_secret(self.secret, PASSPHRASE)
        self.genesis.write_bytes(encode_genesis(node.genesis))
        self.statement.write_bytes(
            make_statement(Profile.SALARIED_STEADY, format=Format.OFX, end=date(2026, 10, 31), seed=5, holder="Li Na")
        )
        self.enc_key: PrivateKey = derive_enc_key(seed)

    def open_office(self, name: str) -> Path:
        """The directory of an organisation, with its officer key."""
        directory = self.folder / name
        if not directory.exists():
            write_key(directory, "officer", make_seed(f"{name}/officer"))
        return directory

    async def run(self, *args: str, text: str | None = None) -> Result:
        """One command, in a thread of its own, since each runs its own event loop."""
        return await asyncio.to_thread(CliRunner().invoke, main, list(args), input=text, env={"LANG": "C"})

    async def read(self, *args: str) -> Any:
        done = await self.run(*args, "--node", self.url, "--json")
        assert done.exit_code == EXIT_OK, done.output
        return json.loads(done.stdout)

    async def sign(self, *args: str) -> Any:
        return await self.read(*args, "--key", str(self.key), "--passphrase-file", str(self.secret))

    async def order(self, office: str, *args: str) -> Any:
        """A command signed by an organisation's officer; what it printed."""
        return await self.read(*args, "--officer-dir", str(self.open_office(office)), "--yes")

    async def refuse(self, *args: str) -> str:
        """The code of a command that must fail."""
        done = await self.run(*args, "--json")
        assert done.exit_code != EXIT_OK, done.output
        return str(json.loads(done.stdout)["error"]["code"])
