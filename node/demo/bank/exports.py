"""The files a customer can export from a book: OFX 1.0.2, MT940, two wallets' CSV and a bank's CSV.

Layouts only: never change an amount, a date or an order of the book here. Sources: OFX 1.0.2 specification, chapters
2, 3 and 11; SWIFT MT940 format specification with the German subfields of field 86; the exports of Alipay (heading
at line 25) and WeChat Pay (heading at line 17) as users publish them.
"""

import csv
import io
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from node.demo.bank.book import Book, Entry

_SWIFT_LINE_MAX: Final = 65
_SWIFT_NAME_MAX: Final = 27


# fmt: off
_ALIPAY_HEADING: Final = (
    "交易时间", "交易分类", "交易对方", "对方账号", "商品说明", "收/支", "金额", "收/付款方式", "交易状态",
    "交易订单号", "商家订单号", "备注", "",
)
_WECHAT_HEADING: Final = (
    "交易时间", "交易类型", "交易对方", "商品", "收/支", "金额(元)", "支付方式", "当前状态", "交易单号",
    "商户单号", "备注",
)
# fmt: on


def _major(minor: int, mark: str = ".") -> str:
    """Minor units as text with two decimals and a leading minus where negative."""
    whole, cents = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole}{mark}{cents:02d}"


def _words(entry: Entry, *, chinese: bool) -> str:
    purpose = entry.kind.zh if chinese else entry.kind.en
    return f"{purpose} {entry.note}".strip()


def _write_csv(rows: Iterable[list[str]], end: str = "\r\n") -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=end).writerows(rows)
    return buffer.getvalue()


def write_ofx(book: Book) -> bytes:
    """OFX 1.0.2 in SGML, ASCII, one current account."""
    zone = "[8:CST]" if book.currency in ("CNY", "HKD") else "[0:GMT]"
    end = f"{book.last_day:%Y%m%d}235959{zone}"
    ok = "<STATUS><CODE>0<SEVERITY>INFO</STATUS>"
    lines = [
        "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nSECURITY:NONE\nENCODING:USASCII\nCHARSET:1252\nCOMPRESSION:NONE",
        "OLDFILEUID:NONE\nNEWFILEUID:NONE\n",
        f"<OFX><SIGNONMSGSRSV1><SONRS>{ok}<DTSERVER>{end}<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1>",
        f"<BANKMSGSRSV1><STMTTRNRS><TRNUID>1{ok}<STMTRS><CURDEF>{book.currency}",
        f"<BANKACCTFROM><BANKID>3100<ACCTID>{book.account}<ACCTTYPE>CHECKING</BANKACCTFROM>",
        f"<BANKTRANLIST><DTSTART>{book.first_day:%Y%m%d}000000{zone}<DTEND>{end}",
    ]
    for number, entry in enumerate(book.entries, start=1):
        posted = f"<DTPOSTED>{entry.at:%Y%m%d%H%M%S}{zone}<TRNAMT>{_major(entry.amount)}"
        words = f"<NAME>{entry.party.en[:32]}<MEMO>{_words(entry, chinese=False)}"
        lines.append(f"<STMTTRN><TRNTYPE>{entry.kind.ofx}{posted}<FITID>{entry.at:%Y%m%d}{number:06d}{words}</STMTTRN>")
    lines.append("</BANKTRANLIST>")
    lines.append(f"<LEDGERBAL><BALAMT>{_major(book.closing)}<DTASOF>{end}</LEDGERBAL>")
    lines.append("</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n")
    return "\n".join(lines).encode("ascii")


def _swift_balance(tag: str, day: date, currency: str, minor: int) -> str:
    return f":{tag}:{'D' if minor < 0 else 'C'}{day:%y%m%d}{currency}{_major(abs(minor), ',')}"


def _swift_details(entry: Entry) -> str:
    """Field 86 with subfields, broken into lines of at most 65 characters between subfields."""
    name = entry.party.en
    parts = [f"?00{entry.kind.en[:27]}", f"?20{(entry.note or 'NONREF')[:27]}", f"?31{entry.party.account}"]
    parts += [f"?32{name[:_SWIFT_NAME_MAX]}"]
    parts += [f"?33{name[_SWIFT_NAME_MAX:][:_SWIFT_NAME_MAX]}"] if len(name) > _SWIFT_NAME_MAX else []
    lines = [":86:" + ("166" if entry.amount > 0 else "116")]
    for part in parts:
        if len(lines[-1]) + len(part) > _SWIFT_LINE_MAX:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def write_mt940(book: Book) -> bytes:
    """MT940 messages, one per calendar month, each opening with the closing balance of the one before."""
    lines: list[str] = []
    start, balance, number, position = book.first_day, book.opening, 0, 0
    while start <= book.last_day:
        number += 1
        end = min((start.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1), book.last_day)
        lines += [f":20:ST{start:%y%m%d}", f":25:3100/{book.account}", f":28C:{number}/1"]
        lines.append(_swift_balance("60F", start, book.currency, balance))
        while position < len(book.entries) and book.entries[position].at.date() <= end:
            entry = book.entries[position]
            position += 1
            balance = entry.balance
            mark = "C" if entry.amount > 0 else "D"
            amount = _major(abs(entry.amount), ",")
            lines.append(
                f":61:{entry.at:%y%m%d%m%d}{mark}{amount}{entry.kind.swift}NONREF//{entry.at:%y%m%d}{position:06d}"
            )
            lines.append(_swift_details(entry))
        lines += [_swift_balance("62F", end, book.currency, balance), "-"]
        start = end + timedelta(days=1)
    return ("\r\n".join("\n".join(lines).split("\n")) + "\r\n").encode("ascii")


def write_bank_csv(book: Book) -> bytes:
    """A bank's CSV with balances: headings and words in Chinese for CNY, else the project's own English layout."""
    if book.currency != "CNY":
        rows = [["date", "amount", "balance", "description", "counterparty", "currency"]]
        rows += [
            [
                f"{entry.at:%Y-%m-%d}",
                _major(entry.amount),
                _major(entry.balance),
                _words(entry, chinese=False),
                entry.party.en,
                book.currency,
            ]
            for entry in book.entries
        ]
        return _write_csv(rows).encode("utf-8")
    head = [
        ["账户交易明细"],
        [f"户名：{book.holder}"],
        [f"账号：{book.account}"],
        [f"起止日期：{book.first_day} 至 {book.last_day}"],
        ["交易日期", "交易时间", "收入金额(元)", "支出金额(元)", "账户余额(元)", "摘要", "对方户名", "对方账号"],
    ]
    rows = [
        [
            f"{entry.at:%Y-%m-%d}",
            f"{entry.at:%H:%M:%S}",
            _major(entry.amount) if entry.amount > 0 else "",
            _major(-entry.amount) if entry.amount < 0 else "",
            _major(entry.balance),
            _words(entry, chinese=True),
            entry.party.zh,
            entry.party.account,
        ]
        for entry in book.entries
    ]
    return ("\ufeff" + _write_csv(head + rows)).encode("utf-8")


def wallet_entries(book: Book) -> tuple[Entry, ...]:
    """What of a book passes through a wallet, oldest first."""
    return tuple(entry for entry in book.entries if entry.kind.alipay is not None)


def _wallet_side(entry: Entry) -> int:
    """+1 income, -1 expense, 0 neither, in the wallet's own counting."""
    if entry.kind.is_neutral:
        return 0
    return 1 if entry.amount > 0 else -1


def _wallet_counts(entries: tuple[Entry, ...]) -> dict[int, str]:
    """{side: "n笔 x元"}."""
    counts: dict[int, str] = {}
    for side in (1, -1, 0):
        amounts = [abs(entry.amount) for entry in entries if _wallet_side(entry) == side]
        counts[side] = f"{len(amounts)}笔 {_major(sum(amounts))}元"
    return counts


def write_alipay(book: Book) -> bytes:
    """Alipay's CSV: GB18030, 24 lines of preamble, newest row first, no balances."""
    entries = wallet_entries(book)
    counts = _wallet_counts(entries)
    head = [
        "-" * 84,
        "导出信息：",
        f"姓名：{book.holder}",
        f"支付宝账户：1{book.account[-10:-7]}****{book.account[-4:]}",
        f"起始时间：[{book.first_day} 00:00:00]    终止时间：[{book.last_day} 23:59:59]",
        "导出交易类型：[全部]",
        f"导出时间：[{book.last_day + timedelta(days=1)} 08:30:00]",
        f"共{len(entries)}笔记录",
        f"收入：{counts[1]}",
        f"支出：{counts[-1]}",
        f"不计收支：{counts[0]}",
        "",
        "特别提示：",
        *(f"{number}.{note}" for number, note in enumerate(_ALIPAY_NOTES, start=1)),
        "",
        f"{'-' * 24}演示数据  电子客户回单{'-' * 24}",
    ]
    assert len(head) == 24, "the heading stands at line 25"
    words = {1: "收入", -1: "支出", 0: "不计收支"}
    rows = [
        [
            "交易时间",
            "交易分类",
            "交易对方",
            "对方账号",
            "商品说明",
            "收/支",
            "金额",
            "收/付款方式",
            "交易状态",
            "交易订单号",
            "商家订单号",
            "备注",
            "",
        ]
    ]
    for number, entry in reversed(list(enumerate(entries, start=1))):
        is_refund = entry.kind.alipay == "退款"
        rows.append(
            [
                f"{entry.at:%Y-%m-%d %H:%M:%S}",
                entry.kind.alipay or "",
                entry.party.zh,
                f"{entry.party.account[:4]}****{entry.party.account[-4:]}",
                _words(entry, chinese=True),
                words[_wallet_side(entry)],
                _major(abs(entry.amount)),
                "余额",
                "退款成功" if is_refund else "交易成功",
                f"{entry.at:%Y%m%d}2200{number:016d}\t",
                f"M{number:012d}\t",
                "",
                "",
            ]
        )
    return ("\r\n".join(head) + "\r\n" + _write_csv(rows)).encode("gb18030")


_ALIPAY_NOTES: Final = (
    "本文件为演示网络生成的虚构账单，人物与商户均为虚构；",
    "版式与电子客户回单一致，金额单位为人民币元；",
    "收款、付款以交易时间为准；",
    "充值提现、退款等记为不计收支；",
    "不计收支的笔数与金额单独统计；",
    "已关闭的交易不列出；",
    "本文件不含账户余额；",
    "本文件不作为付款凭证；",
    "仅供演示使用。",
)


def write_wechat(book: Book) -> bytes:
    """WeChat Pay's CSV: UTF-8 with a byte order mark, 16 lines of preamble, newest row first, no balances."""
    entries = wallet_entries(book)
    counts = _wallet_counts(entries)
    head = [
        "微信支付账单明细",
        f"微信昵称：[{book.holder}]",
        f"起始时间：[{book.first_day} 00:00:00] 终止时间：[{book.last_day} 23:59:59]",
        "导出类型：[全部]",
        f"导出时间：[{book.last_day + timedelta(days=1)} 08:30:00]",
        "",
        f"共{len(entries)}笔记录",
        f"收入：{counts[1]}",
        f"支出：{counts[-1]}",
        f"中性交易：{counts[0]}",
        "注：",
        "1. 本文件为演示网络生成的虚构账单",
        "2. 充值、提现与退款记为中性交易",
        "3. 仅供演示使用",
        "",
        "----------------------微信支付账单明细列表--------------------",
    ]
    assert len(head) == 16, "the heading stands at line 17"
    words = {1: "收入", -1: "支出", 0: "/"}
    rows = [[line, *([""] * 10)] for line in head]
    rows.append(
        [
            "交易时间",
            "交易类型",
            "交易对方",
            "商品",
            "收/支",
            "金额(元)",
            "支付方式",
            "当前状态",
            "交易单号",
            "商户单号",
            "备注",
        ]
    )
    for number, entry in reversed(list(enumerate(entries, start=1))):
        status = {1: "已收钱", -1: "支付成功", 0: "提现已到账"}[_wallet_side(entry)]
        rows.append(
            [
                f"{entry.at:%Y-%m-%d %H:%M:%S}",
                entry.kind.wechat,
                entry.party.zh,
                _words(entry, chinese=True),
                words[_wallet_side(entry)],
                f"¥{_major(abs(entry.amount))}",
                "零钱",
                "已退款" if entry.kind.wechat == "退款" else status,
                f"1000{entry.at:%Y%m%d}{number:016d}\t",
                f"{number:012d}\t",
                "/",
            ]
        )
    return ("\ufeff" + _write_csv(rows)).encode("utf-8")
