"""`liushui completion`: the few lines that make a shell complete commands and options by asking `liushui` itself."""

from typing import Final

import click

SHELLS: Final = ("bash", "zsh", "fish")
PROGRAM: Final = "liushui"
VARIABLE: Final = "_LIUSHUI_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(*, shell: str) -> None:
    """Print what makes SHELL complete liushui's commands and options.

    \b
    bash: liushui completion bash > ~/.local/share/bash-completion/completions/liushui
    zsh:  liushui completion zsh > ~/.zfunc/_liushui     (with fpath+=~/.zfunc before compinit)
    fish: liushui completion fish > ~/.config/fish/completions/liushui.fish
    """
    from click.shell_completion import get_completion_class

    from node.cli.main import main

    made = get_completion_class(shell)
    assert made is not None, shell
    # Not `source()`, which starts the shell to ask its version: these lines may be for another machine.
    completer = made(main, {}, PROGRAM, VARIABLE)
    click.echo(completer.source_template % completer.source_vars())
