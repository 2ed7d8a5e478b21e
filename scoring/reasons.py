"""Reasons: the specific statements a borrower is given when a decision goes against them.

Part of the verified zone, data only. Codes are stored in decisions for ever: append, never renumber. Never a sentence
here that says only "insufficient score": the law asks for the specific facts (Regulation B, 12 CFR 1002.9(b)(2);
PIPL art. 24).
"""

from dataclasses import dataclass
from typing import Final

BALANCE_LOW: Final = 1
BALANCE_AVERAGE: Final = 2
BALANCE_VOLATILE: Final = 3
OVERDRAWN: Final = 4
AFFORDABILITY: Final = 5
AMOUNT_REQUESTED: Final = 6
INCOME_IRREGULAR: Final = 7
INCOME_FALLING: Final = 8
INCOME_CONCENTRATED: Final = 9
SPENDING: Final = 10
DEBT: Final = 11
PENALTIES: Final = 12
THIN_HISTORY: Final = 13
CASH_HEAVY: Final = 14
GAMBLING: Final = 15
AUTHENTICITY: Final = 16
SALES_LOW: Final = 17
SALES_IRREGULAR: Final = 18
BUYERS_CONCENTRATED: Final = 19
INVOICES_VOIDED: Final = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason group: its code on the ledger (u16), its stable key, and the sentence in two languages."""

    code: int
    key: str
    text_en: str
    text_zh: str


_TABLE: Final = (
    Reason(
        BALANCE_LOW,
        "balance_low",
        "The lowest balances of the account leave too little to cover an instalment.",
        "账户最低余额偏低，不足以稳妥覆盖每期还款。",
    ),
    Reason(
        BALANCE_AVERAGE,
        "balance_average",
        "The average balance of the account is low, in itself or compared with the income.",
        "账户日均余额偏低（就金额而言，或与收入相比）。",
    ),
    Reason(
        BALANCE_VOLATILE,
        "balance_volatile",
        "The balance of the account swings widely around its average.",
        "账户余额波动较大。",
    ),
    Reason(
        OVERDRAWN,
        "overdrawn",
        "The account was overdrawn on several days of the statement period.",
        "流水期间账户多日透支。",
    ),
    Reason(
        AFFORDABILITY,
        "affordability",
        "Income, above all in its weakest month, and means in the account are low compared with the instalment.",
        "收入（尤其最低月份）和账户可用资金相对每期还款额偏低。",
    ),
    Reason(
        AMOUNT_REQUESTED,
        "amount_requested",
        "The amount asked for is high compared with a year's income in the account.",
        "申请金额相对账户全年收入偏高。",
    ),
    Reason(
        INCOME_IRREGULAR,
        "income_irregular",
        "Income arrives irregularly, or in very uneven amounts.",
        "收入到账不规律，或各期金额差异较大。",
    ),
    Reason(
        INCOME_FALLING,
        "income_falling",
        "Income of recent months is lower than it was before.",
        "近几个月收入较此前下降。",
    ),
    Reason(
        INCOME_CONCENTRATED,
        "income_concentrated",
        "Income depends on very few payers.",
        "收入来源过于集中于少数付款方。",
    ),
    Reason(
        SPENDING,
        "spending",
        "Spending takes nearly all of the income in a usual month, so that little is left over.",
        "日常支出几乎用尽当月收入，结余不足。",
    ),
    Reason(
        DEBT,
        "debt",
        "Repayments to other lenders already take a large part of income, or new loans were taken recently.",
        "其他贷款还款已占收入较大比例，或近期新增借款。",
    ),
    Reason(
        PENALTIES,
        "penalties",
        "The bank charged penalties for insufficient funds in the last twelve months.",
        "近十二个月内银行曾因余额不足收取罚息或费用。",
    ),
    Reason(
        THIN_HISTORY,
        "thin_history",
        "The account's history is short, shows long stretches without activity, or few regular household payments.",
        "账户流水历史较短、长时间无交易，或固定生活支出记录过少。",
    ),
    Reason(
        CASH_HEAVY,
        "cash_heavy",
        "A large part of income or spending is in cash and cannot be traced.",
        "现金收支占比较高，难以核实。",
    ),
    Reason(
        GAMBLING,
        "gambling",
        "A notable share of spending is on gambling or at night.",
        "博彩类或深夜支出占比较高。",
    ),
    Reason(
        AUTHENTICITY,
        "authenticity",
        "The pattern of the flows suggests that they do not show real business: money returns to where it came from, "
        "or the balances do not add up.",
        "流水存在异常特征：资金快进快出、往返转账，或余额无法衔接。",
    ),
    Reason(
        SALES_LOW,
        "sales_low",
        "The firm's invoiced sales, in total or in a usual month, are low for the loan asked for.",
        "企业开票销售额（累计或月度）相对所申请贷款偏低。",
    ),
    Reason(
        SALES_IRREGULAR,
        "sales_irregular",
        "The firm invoices irregularly: months without sales, very uneven months, or no sale for some time.",
        "企业开票不规律：存在无销售月份、各月差异较大，或近期未开票。",
    ),
    Reason(
        BUYERS_CONCENTRATED,
        "buyers_concentrated",
        "The firm's sales depend on very few buyers.",
        "企业销售过于集中于少数购买方。",
    ),
    Reason(
        INVOICES_VOIDED,
        "invoices_voided",
        "A large share of the firm's invoices of the last twelve months was voided.",
        "近十二个月作废发票占比偏高。",
    ),
)

REASONS: Final[dict[int, Reason]] = {reason.code: reason for reason in _TABLE}
