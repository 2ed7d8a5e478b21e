"""What a movement is for and how the money moved, read off its words: a table of rules, first match wins.

The table is versioned: rows are committed as they come out of here, and a verifier never runs it again, so a new
version only changes new statements. Never put amounts' sizes or dates into a rule, only words and the direction.
"""

import re
import unicodedata

from scoring.rows import Category, Channel

RULES_VERSION = 1

IN, OUT, BOTH = 1, -1, 0

# (category, direction, Chinese words, words of other languages; the latter match whole words only)
_CATEGORY_RULES: tuple[tuple[Category, int, str, str], ...] = (
    (Category.REVERSAL, BOTH, "冲正|撤销|退汇|抹账", r"reversal|reversed|chargeback|storno|returned (?:item|payment)"),
    (
        Category.SANCTION,
        OUT,
        "罚息|违约金|滞纳金|余额不足|透支费",
        (
            r"nsf|insufficient funds|non-?sufficient|overdraft (?:fee|charge|interest)|unarranged|"
            r"unpaid item|returned (?:dd|cheque) fee|sanction|penalty|late fee|mahngebühr"
        ),
    ),
    (
        Category.GAMBLING,
        BOTH,
        "博彩|彩票|体彩|福彩|赌|六合彩|娱乐城",
        (
            r"casino|betting|bet365|gambl\w+|poker|lotter\w+|lotto|sportsbook|draftkings|fanduel|"
            r"ladbrokes|paddy power"
        ),
    ),
    (
        Category.REFUND,
        IN,
        "退款|退货|返还",
        (r"refund\w*|rückerstattung|erstattung|gutschrift storno|remboursement|reembolso|cashback|rebate"),
    ),
    (
        Category.LOAN_DISBURSEMENT,
        IN,
        "放款|贷款发放|发放贷款|借款|借呗|微粒贷|网商贷|小额贷款|消费贷",
        (
            r"loan (?:disbursement|disbursal|proceeds|payout|advance|credit)|disbursement|"
            r"payday loan|kreditauszahlung|darlehen"
        ),
    ),
    (
        Category.LOAN_REPAYMENT,
        OUT,
        "还款|还贷|贷款归还|归还贷款|收回贷款|按揭|月供|分期|花呗|借呗|白条|微粒贷|贷款",
        (
            r"loan|mortgage|credit card payment|card repayment|(?:amex|amex e?|american express|"
            r"discover|chase card) ?e?payment|instal?lment|kreditrate|darlehen|tilgung|emi|"
            r"student ln"
        ),
    ),
    (
        Category.INTEREST,
        BOTH,
        "结息|利息|季息|存款息",
        r"interest|zinsen|zinsabschluss|habenzinsen|intérêts|intereses|rente",
    ),
    (
        Category.SALARY,
        IN,
        "工资|薪资|薪金|薪水|代发|奖金|劳务费",
        (r"salar\w+|payroll|wages?|gehalt|lohn\w*|bezüge|salaire|paie|n[oó]mina|stipendio|direct dep"),
    ),
    (Category.TAX, BOTH, "税", r"tax|taxes|irs|hmrc|steuer\w*|finanzamt|impôts?|dgfip|impuesto\w*|belasting\w*|vat"),
    (
        Category.INSURANCE,
        BOTH,
        "保险|人寿|财险|平安产险",
        (r"insurance|versicherung\w*|assurance|seguros?|allianz|axa|geico|united healthcar\w*|premium"),
    ),
    (
        Category.CASH,
        BOTH,
        "取现|现金|提款|柜台存|现存|现取|atm取|atm存",
        (r"atm|cash (?:withdrawal|deposit|machine)|withdrawal|cajero|geldautomat|bargeld\w*|retrait"),
    ),
    (
        Category.FEE,
        OUT,
        "手续费|年费|工本费|短信费|账户管理费|汇费|服务费",
        (
            r"fees?|bank charges?|service charge|commission|entgelt\w*|gebühr\w*|kontoführung|"
            r"kosten betalingsverkeer|frais|comisi[oó]n|(?:rc )?afrekening betalingsverkeer"
        ),
    ),
    (
        Category.OWN_TRANSFER,
        BOTH,
        (
            "零钱提现|零钱充值|转入零钱通|零钱通转出|余额宝|理财通|本人|账户转存|提现|活期转定期|"
            "定期转活期|基金赎回|基金申购|卡卡转账"
        ),
        (
            r"own account|between accounts|internal transfer|transfer (?:to|from) savings|"
            r"savings transfer|umbuchung|virement interne"
        ),
    ),
    (
        Category.HOUSEHOLD,
        OUT,
        "水费|电费|供电|电力|燃气|煤气|自来水|房租|租金|物业|话费|宽带|供暖|水电|超市|学费",
        (
            r"rent|miete|loyer|alquiler|utilit\w+|electric\w*|water|gas|heating|strom|stadtwerke|"
            r"phone|mobile|internet|telecom|telekom|vodafone|att|att\*|verizon|comcast|"
            r"supermarket|grocer\w*|lidl|aldi|tesco|school"
        ),
    ),
    (
        Category.BUSINESS_INCOME,
        IN,
        "货款|收款|收钱|二维码|商户结算|商家|销售|营业款|pos结算|收单",
        (
            r"invoice|inv|rechnung\w*|facture|factura|settlement|stripe|square|shopify|"
            r"merchant deposit|customer payment|sales|takings|card takings"
        ),
    ),
    (
        Category.SHOPPING,
        OUT,
        ("消费|购物|网购|京东|淘宝|天猫|拼多多|美团|饿了么|餐|饮食|日用百货|服饰|商城|便利店|支付"),
        (
            r"pos|purchase|card payment|amazon|ebay|paypal|kartenzahlung|debit card|visa|maestro|"
            r"restaurant|coffee|kaffee|mcdonald\S*|uber|shop\w*"
        ),
    ),
    (
        Category.TRANSFER,
        BOTH,
        "转账|汇款|汇入|汇出|网转|转存|转入|转出|跨行|红包|往来",
        (
            r"transfers?|überweisung|virement|transferencia|wire|send money|zelle|venmo|"
            r"remittance|overboeking|spoedbetaling|sepa credit|ach"
        ),
    ),
)

_CHANNEL_RULES: tuple[tuple[Channel, str, str], ...] = (
    (Channel.CASH, "取现|现金|现存|现取|提款|柜台存", r"atm|cash|geldautomat|bargeld\w*|cajero|retrait|withdrawal"),
    (
        Channel.DIRECT_DEBIT,
        "代扣|自动还款|自动扣款|批量扣|约定扣",
        r"direct debit|lastschrift\w*|sepa dd|sdd|prélèvement|domiciliaci[oó]n|incasso|dd",
    ),
    (
        Channel.ONLINE_WALLET,
        "支付宝|财付通|微信|零钱|余额宝|快捷支付|抖音支付|云闪付|网上支付|一网通",
        r"alipay|wechat|paypal|venmo|apple pay|google pay|ideal|klarna|tenpay",
    ),
    (Channel.CARD, "银联|刷卡|消费|pos", r"pos|card|visa|mastercard|maestro|kartenzahlung|ec-cash|debit card|purchase"),
    (
        Channel.TRANSFER,
        "转账|汇款|汇入|汇出|网转|转存|代发|工资|手机银行|网上银行|跨行",
        (
            r"transfers?|überweisung|virement|transferencia|wire|sepa|ach|gehalt|salary|payroll|"
            r"zelle|giro|spoedbetaling|send money"
        ),
    ),
)


def _pattern(chinese: str, words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{chinese})|(?<![^\W_])(?:{words})(?![^\W_])")


_CATEGORIES = tuple((category, direction, _pattern(zh, words)) for category, direction, zh, words in _CATEGORY_RULES)
_CHANNELS = tuple((channel, _pattern(zh, words)) for channel, zh, words in _CHANNEL_RULES)
_CHARGES = (Category.FEE, Category.SANCTION, Category.INTEREST)
_TEXT_CHARS_MAX = 500
# What documents print where there is no other party.
_NOBODY = frozenset({"", "n", "na", "null", "none", "无", "notprovided", "unknown", "nonref"})


def categorise(text: str, name: str, amount: int) -> Category:
    """The category of a movement from its words and direction; OTHER when no rule speaks."""
    words = _fold(f"{text} {name}")
    for category, direction, pattern in _CATEGORIES:
        if (direction == BOTH or direction * amount > 0) and pattern.search(words):
            return category
    return Category.OTHER


def pick_channel(text: str, name: str, category: Category) -> Channel:
    """How the money moved; UNKNOWN when no rule speaks."""
    if category in _CHARGES:
        return Channel.BANK_CHARGE
    words = _fold(f"{text} {name}")
    for channel, pattern in _CHANNELS:
        if pattern.search(words):
            return channel
    return Channel.UNKNOWN


def normalise_party(name: str) -> str:
    """A name or account reduced to its letters and digits (NFKC, case folded), empty when it names nobody."""
    folded = unicodedata.normalize("NFKC", name[:_TEXT_CHARS_MAX]).casefold()
    plain = "".join(char for char in folded if char.isalnum())
    return "" if plain in _NOBODY else plain


def is_same_party(name: str, holder: str | None) -> bool:
    """Whether the other party bears the holder's own name. Masked names match nobody."""
    if not holder or "*" in name or "*" in holder:
        return False
    own = normalise_party(holder)
    return len(own) >= 2 and not set(own) <= {"x"} and own == normalise_party(name)


def is_same_account(account: str, own: str | None) -> bool:
    """Whether the other account is the document's own. Masked accounts match nothing."""
    if not own or "*" in account or "*" in own:
        return False
    return len(normalise_party(own)) >= 6 and normalise_party(account) == normalise_party(own)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:_TEXT_CHARS_MAX]).casefold()
