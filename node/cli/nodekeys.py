"""`liushui keys adopt`: the last step of changing a validator's key, where it is held. No key is lost here.

liushui keys seat-proof NAME --dir DIR --new      makes the next key beside the present one
... the validators seat it, its epoch begins ...
liushui keys adopt --dir DIR                      the next one takes the present one's place
"""

from pathlib import Path

import click

from node.cli.common import fail, print_facts
from node.cli.typed import DIRECTORY


@click.command()
@click.option("--dir", "directory", type=DIRECTORY, required=True, help="Data directory of the validator's node.")
def adopt(*, directory: Path) -> None:
    """Put the next validator key in the present one's place, once it has its seat. A running node need not stop.

    The old key is kept under another name, for whoever must show later whose it was. It never votes again from here.

    Example: liushui keys adopt --dir mynet/lender2
    """
    from node.keystore import KeyFileError, adopt_next_validator
    from protocol.crypto import KeySigner

    try:
        adopted = adopt_next_validator(directory)
    except KeyFileError as error:
        fail(error.code, error.sentence)
    except OSError as error:
        fail("directory_unwritable", f"{directory} cannot be written: {error.strerror}.")
    if adopted is None:
        fail("key_missing", f"{directory} holds no next validator key: make one with liushui keys seat-proof --new.")
    present, kept = adopted
    print_facts([("validator key", KeySigner(present).public_key.hex()), ("the old one lies in", kept)])
