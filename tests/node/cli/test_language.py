"""The command line in Chinese: help that fits the terminal, errors that say what a code means, machines unharmed."""

import json

import pytest
from click.testing import CliRunner

from node.cli.common import speak
from node.cli.language import describe_code, measure, wrap
from node.cli.main import main
from tests.rules.catalogue import walk_commands

ZH = {"LC_ALL": "zh_CN.UTF-8", "LANGUAGE": ""}
EN = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
COLUMNS = 80


def ask(*arguments: str, env: dict[str, str] = ZH) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    result = CliRunner(env=env).invoke(main, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_every_help_page_is_chinese_and_fits_the_terminal() -> None:
    """No line is wider than the terminal, unless it was laid out by hand; English afterwards is intact."""
    english = ask("statement", "--help", env=EN)
    for path, _ in walk_commands(main, ""):
        code, out, _ = ask(*path.split(), "--help")
        assert code == 0, path
        assert "显示本说明并退出" in out, path
        wide = [one for one in out.splitlines() if measure(one) > COLUMNS and len(one.split()) > 3]
        assert not [one for one in wide if "comp" not in one], path
    assert ask("statement", "--help", env=EN) == english
    assert "Show this message" in english[1]


def test_the_overview_shortens_to_the_first_sentence() -> None:
    """A group's list of commands says each in a few words."""
    _, out, _ = ask("consent", "--help")
    assert "让成员为一个目的阅读 DATA\n" in out


def test_errors_say_what_their_code_means_and_keep_code_and_detail() -> None:
    """In Chinese first; then the English sentence with its figures; the code last."""
    code, out, err = ask("score", "nowhere.csv", "--principal-minor", "100", "--periods", "2")
    assert (code, out) == (1, "")
    assert err.startswith("文件无法读取。nowhere.csv cannot be read")
    assert err.endswith("[file_unreadable]\n")


def test_wrong_use_is_told_in_chinese_with_the_same_exit_code() -> None:
    """click's own words come from the same catalogue."""
    code, _, err = ask("apply")
    assert code == 2
    assert "错误：缺少参数 'FILE...'" in err


def test_questions_are_asked_in_the_environments_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that the catalogue does not have is asked as it is."""
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert speak("Sign and send it?") == "签署并发送？"
    assert speak("Take it or leave it?") == "Take it or leave it?"
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert speak("Sign and send it?") == "Sign and send it?"


def test_machines_read_the_same_in_every_language() -> None:
    """With --json an error is one object of code and sentence."""
    asked = ("score", "nowhere.csv", "--principal-minor", "100", "--periods", "2", "--json")
    in_chinese, in_english = ask(*asked), ask(*asked, env=EN)
    assert in_chinese == in_english
    assert json.loads(in_chinese[1])["error"]["code"] == "file_unreadable"


def test_a_code_without_chinese_adds_nothing() -> None:
    """The English sentence stands alone."""
    assert describe_code("no_such_code_anywhere") == ""


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("贷款金额", 4, ["贷款", "金额"]),
        ("贷款，金额", 4, ["贷", "款，", "金额"]),
        ("用 FILE 评分", 8, ["用 FILE", "评分"]),
        ("a\nb", 8, ["a b"]),
        ("一\n\n二", 8, ["一", "", "二"]),
        ("\b\n 甲  乙\n丙", 2, [" 甲  乙", "丙"]),
    ],
)
def test_lines_break_between_characters_but_not_inside_words_nor_before_a_comma(
    text: str, width: int, lines: list[str]
) -> None:
    """Columns are counted, two for a Chinese character; a closing mark takes one with it."""
    assert wrap(text, width) == lines
