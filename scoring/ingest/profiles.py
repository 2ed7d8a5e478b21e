"""The tables we know, as data: which headings name which column, and where the sign of an amount comes from.

The first profile whose required roles all have a heading wins, so banks stand before the generic tables. Layouts:
double-entry-generator's provider sources (Alipay, WeChat, ICBC, BOC, BOCOM, CCB, CMB). Never put code for one bank
into table.py: a new layout is a new entry here.

The project's own CSV: `date,amount,balance,description,counterparty[,currency]`, dates as YYYY-MM-DD, amounts
signed with a decimal point, balance after the row (may be empty), currency CNY unless the column says otherwise.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum, auto


class Sign(Enum):
    """Where an amount's sign comes from."""

    SIGNED = auto()  # the amount itself, or two columns for in and out
    MARKED = auto()  # a column that says in or out
    WALLET = auto()  # a column that says income, expense or neither


_MARKS_IN: frozenset[str] = frozenset(
    {
        "c",
        "cr",
        "cred",
        "credit",
        "crdt",
        "in",
        "h",
        "haben",
        "s+",
        "bij",
        "贷",
        "收入",
        "转入",
        "+",
        "crédito",
        "crédit",
    }
)
_MARKS_OUT: frozenset[str] = frozenset(
    {"d", "dr", "deb", "debit", "dbit", "out", "s", "soll", "af", "借", "支出", "转出", "-", "débito", "débit"}
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One kind of table. `headings` maps a role to headings as regular expressions over the normalised text.

    Roles: date, time, amount, in, out, direction, balance, currency, name, account, own_account, text, kind, status.
    A heading may serve several roles; a role may take several columns (the first filled cell counts, all of `text`).
    """

    format: str
    headings: dict[str, str]
    required: tuple[str, ...]
    sign: Sign = Sign.SIGNED
    mark: str | None = "."
    """Decimal mark, or None to find it from the column."""
    currency: str | None = None
    """Currency where the file names none; assuming it is warned about."""
    day_first: bool = False
    one_account: bool = True
    marks_in: frozenset[str] = _MARKS_IN
    marks_out: frozenset[str] = _MARKS_OUT

    def direction_of(self, mark: str) -> int | None:
        """+1 for money in, -1 for money out, None when the mark says neither."""
        plain = re.sub(r"[\s()（）]", "", mark)
        if plain in self.marks_in or "贷" in plain:
            return 1
        if plain in self.marks_out or "借" in plain:
            return -1
        return None


_ALIPAY = Profile(
    format="alipay_csv",
    headings={
        "date": "交易时间|付款时间|交易创建时间",
        "kind": "交易分类|类型|交易类型",
        "name": "交易对方",
        "account": "对方账号",
        "direction": "收/支",
        "amount": r"金额(?:\(元\))?",
        "status": "交易状态",
        "text": "交易分类|类型|商品说明|商品名称|备注",
        "method": "收/付款方式",
        "order": "交易订单号|交易号",
    },
    required=("date", "name", "direction", "amount", "status", "order"),
    sign=Sign.WALLET,
    currency="CNY",
)
_WECHAT = Profile(
    format="wechat",
    headings={
        "date": "交易时间",
        "kind": "交易类型",
        "name": "交易对方",
        "direction": "收/支",
        "amount": r"金额(?:\(元\))?",
        "status": "当前状态",
        "text": "交易类型|商品|备注",
        "method": "支付方式",
    },
    required=("date", "kind", "name", "direction", "amount", "status"),
    sign=Sign.WALLET,
    currency="CNY",
)
_ICBC = Profile(
    format="icbc",
    headings={
        "date": "交易日期|入账日期",
        "text": "摘要|交易详情|交易场所",
        "in": r"记账金额\(收入\)",
        "out": r"记账金额\(支出\)",
        "currency": "记账币种",
        "balance": "余额",
        "name": "对方户名",
        "account": "对方账户|对方账号",
    },
    required=("date", "in", "out", "balance"),
    currency="CNY",
)
_CMB = Profile(
    format="cmb",
    headings={
        "date": "记账日期",
        "currency": "货币|币种",
        "amount": "交易金额",
        "balance": "联机余额|余额",
        "text": "交易摘要|客户摘要",
        "name": "对手信息",
    },
    required=("date", "amount", "balance", "name"),
    currency="CNY",
)
_CMB_WEB = Profile(
    format="cmb",
    headings={
        "date": "交易日期",
        "time": "交易时间",
        "in": "收入",
        "out": "支出",
        "balance": "余额",
        "text": "交易类型|交易备注",
    },
    required=("date", "time", "in", "out", "balance"),
    currency="CNY",
)
_BOC = Profile(
    format="boc",
    headings={
        "date": "记账日期",
        "time": "记账时间",
        "currency": "币别|币种",
        "amount": "金额|记账金额",
        "balance": "余额",
        "text": "交易名称|渠道|附言|网点名称",
        "name": "对方账户名",
        "account": "对方卡号/账号",
        "own_account": "借记卡号",
    },
    required=("date", "amount", "balance", "name", "account"),
    currency="CNY",
)
_BOCOM = Profile(
    format="bocom",
    headings={
        "date": "transdate|交易日期",
        "time": "transtime|交易时间",
        "text": "tradingtype|tradingplace|abstract|交易类型|交易地点|摘要",
        "direction": "dcflg|借贷标志|借贷",
        "amount": "transamt|交易金额",
        "balance": "balance|余额",
        "account": "paymentreceiptaccount|对方账号",
        "name": "paymentreceiptaccountname|对方户名",
    },
    required=("date", "direction", "amount", "balance", "account"),
    sign=Sign.MARKED,
    currency="CNY",
)
_CCB = Profile(
    format="ccb",
    headings={
        "date": "交易日期|交易日",
        "time": "交易时间",
        "out": r"支出(?:\(元\))?|支出金额|借方发生额(?:/元)?(?:\(支取\))?",
        "in": r"收入(?:\(元\))?|存入|收入金额|贷方发生额(?:/元)?(?:\(收入\))?",
        "balance": r"(?:账户)?余额(?:\(元\))?",
        "currency": "币种",
        "text": "摘要|交易地点(?:/附言)?|交易地点|附言|备注",
        "account": "对方账号|对方账户",
        "name": "对方户名",
        "posted": "记账日|记账日期",
    },
    required=("date", "in", "out", "posted"),
    currency="CNY",
)
_CHINESE = Profile(
    format="csv",
    headings={
        "date": "(?:交易|记账|入账|过账)?(?:日期|时间|日)",
        "time": "交易时间|时间",
        "amount": r"(?:交易|发生|记账)?(?:金额|发生额)(?:\(元\))?",
        "in": r"收入(?:金额)?(?:\(元\))?|存入(?:金额)?|贷方(?:金额|发生额)?|转入金额",
        "out": r"支出(?:金额)?(?:\(元\))?|支取(?:金额)?|借方(?:金额|发生额)?|转出金额",
        "direction": "收/支|借贷标志|收支|借/贷|收支类型",
        "balance": r"(?:账户|本次|联机)?余额(?:\(元\))?",
        "currency": "币种|货币|币别|交易币种",
        "text": "摘要|交易摘要|交易描述|备注|附言|用途|交易类型|商品说明|说明|交易名称|渠道",
        "name": "对方户名|对方名称|对方|交易对方|对方账户名|对方姓名|对手信息",
        "account": "对方账号|对方账户|对方卡号",
    },
    required=("date",),
    currency="CNY",
)
_OWN = Profile(
    format="csv",
    headings={
        "date": "date",
        "amount": "amount",
        "balance": "balance",
        "text": "description",
        "name": "counterparty",
        "currency": "currency",
    },
    required=("date", "amount", "balance", "text", "name"),
    currency="CNY",
)
_GENERIC_EN = Profile(
    format="csv",
    headings={
        "date": (
            r"(?:transaction|booking|posting|posted|value|trans|completed|started|entry)?date|"
            r"bookedon|datetime|timestamp"
        ),
        "amount": r"(?:transaction|booked|net)?amount[a-z]{0,3}|value|sum",
        "in": r"credits?(?:amount)?[a-z]{0,3}|paidin|moneyin|deposits?|in|inflow|creditamount|received",
        "out": r"debits?(?:amount)?[a-z]{0,3}|paidout|moneyout|withdrawals?|out|outflow|debitamount|spent",
        "direction": "drcr|crdr|debitcredit|creditdebit(?:indicator)?|cdtdbtind|direction|dc",
        "balance": r"(?:running|account|closing|current|available|ledger)?balance[a-z]{0,3}",
        "currency": "currency|ccy|currencycode|cur",
        "text": (
            "description|details?|memo|narrative|reference|type|transactiontype|particulars|payee|category|notes?"
        ),
        "name": "counterparty|payee|merchant|name|beneficiary|counterpartyname|otherparty",
        "account": "counterparty(?:account|iban)|beneficiaryaccount",
        "own_account": "account(?:number)?|accountid",
        "iban": "iban",
    },
    required=("date",),
    mark=None,
)
_GENERIC_EU = Profile(
    format="csv",
    headings={
        "date": (
            r"buchungstag|buchungsdatum|buchung|datum|fecha(?:operaci[oó]n|contable)?|"
            r"f(?:echa)?operaci[oó]n|date(?:op[ée]ration|comptable|decomptabilisation)?|"
            r"data(?:operazione|contabile)?|boekdatum|transactiedatum|rentedatum|wertstellung|valuta|"
            r"valutadatum|fechavalor|datedevaleur|datevaleur"
        ),
        "amount": (
            r"betrag[a-z]{0,3}|umsatz[a-z]{0,3}|importe[a-z]{0,3}|montant[a-z]{0,3}|importo[a-z]{0,3}|"
            r"bedrag[a-z]{0,3}|valor|monto|cantidad"
        ),
        "in": (
            r"haben[a-z]{0,3}|gutschrift|cr[ée]dit(?:o|os)?[a-z]{0,3}|abono[a-z]{0,3}|ingresos?|"
            r"entrate|avere|accrediti|dep[oó]sitos?"
        ),
        "out": (
            r"soll[a-z]{0,3}|lastschrift|belastung|d[ée]bit(?:o|os)?[a-z]{0,3}|cargos?[a-z]{0,3}|"
            r"gastos?|uscite|dare|addebiti|retiros?"
        ),
        "direction": "sollhaben|sh|afbij|debetcredit",
        "balance": (
            r"(?:konto)?saldo[a-z]{0,3}|kontostand|saldonachbuchung|solde[a-z]{0,3}|saldonatransactie|"
            r"saldodisponible"
        ),
        "currency": "w[äa]hrung|waehrung|ccy|currency|moneda|divisa|devise|monnaie|valuta|munt|divisakonto",
        "text": (
            "verwendungszweck|buchungstext|beschreibung|text|concepto|descripci[oó]n|libell[ée]|"
            "description|causale|descrizione|omschrijving|mededelingen|detalles?|d[ée]tails?|motif|"
            "movimiento|naamomschrijving"
        ),
        "name": (
            "empf[äa]nger|auftraggeber|beg[üu]nstigter?(?:zahlungspflichtiger)?|zahlungsbeteiligter|"
            "name(?:zahlungsbeteiligter)?|beneficiario|ordenante|b[ée]n[ée]ficiaire|tiers|"
            "tegenpartij|naamtegenpartij|contraparte|contrepartie"
        ),
        "account": ("ibanzahlungsbeteiligter|kontonummer(?:iban)?|gegenkonto|tegenrekening(?:ibanbban)?|cuentadestino"),
        "own_account": "auftragskonto|ibanauftragskonto|rekening|cuenta|compte|konto",
        "iban": "iban|ibanbban",
    },
    required=("date",),
    mark=None,
    currency="EUR",
    day_first=True,
)

PROFILES: tuple[Profile, ...] = (
    _ALIPAY, _WECHAT, _ICBC, _BOC, _CMB, _BOCOM, _CCB, _CMB_WEB, _OWN, _GENERIC_EN, _GENERIC_EU, _CHINESE,
)  # fmt: skip

_GENERIC = (_GENERIC_EN, _GENERIC_EU, _CHINESE)
_HAN = re.compile(r"[\u4e00-\u9fff]")


def normalise_heading(text: str) -> str:
    """A heading reduced to what is compared: NFKC, lower case, without blanks; Latin ones without punctuation."""
    plain = re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold()).strip("\"'[]:")
    return plain if _HAN.search(plain) else re.sub(r"[\W_]", "", plain)


def _names(heading: str) -> tuple[str, ...]:
    """A heading, and both halves of a bilingual one ("余额 Balance")."""
    latin = re.sub(r"[^a-z]", "", heading)
    if len(latin) < 3 or not _HAN.search(heading):
        return (heading,)
    return heading, "".join(_HAN.findall(heading)), latin


def pick_profile(cells: list[str]) -> tuple[Profile, dict[str, list[int]]] | None:
    """The profile of a header line and its columns, or None when the line is no header.

    Banks' own layouts come first; among the generic ones the language that knows most of the headings wins.
    """
    best: tuple[Profile, dict[str, list[int]]] | None = None
    for profile in PROFILES:
        columns = map_columns(profile, cells)
        if columns is None:
            continue
        if profile not in _GENERIC:
            return profile, columns
        if best is None or _count(columns) > _count(best[1]):
            best = profile, columns
    return best


def _any_match(pattern: str, heading: str) -> bool:
    return any(re.fullmatch(pattern, name) for name in _names(heading))


def _count(columns: dict[str, list[int]]) -> int:
    return len({index for indices in columns.values() for index in indices})


def map_columns(profile: Profile, cells: list[str]) -> dict[str, list[int]] | None:
    """Role -> column indices if the cells are a header line of this profile, else None."""
    headings = [normalise_heading(cell) for cell in cells]
    if sum(bool(heading) for heading in headings) < 3:
        return None
    columns: dict[str, list[int]] = {}
    for role, pattern in profile.headings.items():
        found = [index for index, heading in enumerate(headings) if heading and _any_match(pattern, heading)]
        if found:
            columns[role] = found
    if any(role not in columns for role in profile.required):
        return None
    if profile in _GENERIC and not ("amount" in columns or {"in", "out"} <= columns.keys()):
        return None
    # With both kinds of amount column, the two columns carry the sign.
    if "amount" in columns and {"in", "out"} <= columns.keys():
        del columns["amount"]
    return columns
