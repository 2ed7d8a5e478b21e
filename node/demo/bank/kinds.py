"""The kinds of movements and their words in each export: one table to read. Never an amount or a date in here.

A kind without an Alipay category does not pass through a wallet: a customer's Alipay or WeChat file leaves it out.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of movement."""

    zh: str
    """Purpose as a Chinese bank prints it."""
    en: str
    """Purpose in English, ASCII."""
    ofx: str
    """TRNTYPE of OFX 1.0.2, section 11.4.3.1."""
    swift: str
    """Transaction type of MT940 field 61, subfield 6, with its N."""
    alipay: str | None = None
    """Category in Alipay's export, or None when the movement never passes through a wallet."""
    wechat: str = "商户消费"
    is_neutral: bool = False
    """Whether a wallet counts it as neither income nor expense."""


SALARY: Final = Kind(zh="代发工资", en="SALARY PAYMENT", ofx="DIRECTDEP", swift="NTRF")
BONUS: Final = Kind(zh="代发奖金", en="SALARY BONUS", ofx="DIRECTDEP", swift="NTRF")
EXPENSES_BACK: Final = Kind(zh="差旅报销款", en="TRAVEL EXPENSES", ofx="CREDIT", swift="NTRF")
PLATFORM_PAY: Final = Kind(zh="配送劳务费结算", en="WEEKLY SETTLEMENT DELIVERY WORK", ofx="CREDIT", swift="NTRF")
TAKINGS: Final = Kind(
    zh="收钱码收款", en="QR SALES", ofx="CREDIT", swift="NTRF", alipay="商业服务", wechat="二维码收款"
)
SETTLEMENT: Final = Kind(zh="商户结算款", en="MERCHANT SETTLEMENT", ofx="CREDIT", swift="NTRF")
INVOICE_IN: Final = Kind(zh="货款", en="INVOICE", ofx="CREDIT", swift="NTRF")
REFUND: Final = Kind(zh="退款", en="REFUND", ofx="CREDIT", swift="NMSC", alipay="退款", wechat="退款", is_neutral=True)
LOAN_IN: Final = Kind(zh="贷款发放", en="LOAN DISBURSEMENT", ofx="CREDIT", swift="NTRF")
INTEREST: Final = Kind(zh="结息", en="CREDIT INTEREST", ofx="INT", swift="NINT")

RENT: Final = Kind(zh="房租", en="RENT", ofx="DEBIT", swift="NTRF")
POWER: Final = Kind(zh="电费代扣", en="ELECTRICITY DIRECT DEBIT", ofx="DIRECTDEBIT", swift="NDDT", alipay="生活服务")
WATER: Final = Kind(zh="水费代扣", en="WATER DIRECT DEBIT", ofx="DIRECTDEBIT", swift="NDDT", alipay="生活服务")
PHONE: Final = Kind(zh="话费代扣", en="PHONE DIRECT DEBIT", ofx="DIRECTDEBIT", swift="NDDT", alipay="充值缴费")
INSURANCE: Final = Kind(zh="保险费代扣", en="INSURANCE PREMIUM DIRECT DEBIT", ofx="DIRECTDEBIT", swift="NDDT")
GROCERIES: Final = Kind(zh="超市快捷支付", en="SUPERMARKET", ofx="POS", swift="NMSC", alipay="日用百货")
MEAL: Final = Kind(zh="餐饮快捷支付", en="RESTAURANT CARD PAYMENT", ofx="POS", swift="NMSC", alipay="餐饮美食")
FARE: Final = Kind(zh="地铁公交", en="METRO FARE", ofx="POS", swift="NMSC", alipay="交通出行")
SHOPPING: Final = Kind(zh="网购快捷支付", en="ONLINE PURCHASE", ofx="POS", swift="NMSC", alipay="服饰装扮")
FAMILY: Final = Kind(zh="转账汇款", en="TRANSFER", ofx="XFER", swift="NTRF", alipay="转账红包", wechat="转账")
SAVING: Final = Kind(zh="本人定期存款转存", en="INTERNAL TRANSFER SAVINGS", ofx="XFER", swift="NTRF")
WITHDRAWAL: Final = Kind(
    zh="余额提现",
    en="INTERNAL TRANSFER",
    ofx="XFER",
    swift="NTRF",
    alipay="账户存取",
    wechat="零钱提现",
    is_neutral=True,
)
CASH: Final = Kind(zh="ATM取现", en="ATM WITHDRAWAL", ofx="ATM", swift="NMSC")
SUPPLIER: Final = Kind(zh="进货采购", en="GOODS SUPPLIED", ofx="DEBIT", swift="NTRF", alipay="商业服务")
WAGES_OUT: Final = Kind(zh="工资发放", en="PAYROLL", ofx="DEBIT", swift="NTRF")
SOCIAL: Final = Kind(zh="社会保险费代扣", en="SOCIAL INSURANCE DIRECT DEBIT", ofx="DIRECTDEBIT", swift="NDDT")
TAX: Final = Kind(zh="增值税缴款", en="VAT PAYMENT", ofx="DEBIT", swift="NMSC")
LOAN_OUT: Final = Kind(zh="贷款还款代扣", en="LOAN REPAYMENT DIRECT DEBIT", ofx="DIRECTDEBIT", swift="NDDT")
GAMBLING: Final = Kind(zh="体彩投注快捷支付", en="SPORTS BETTING", ofx="POS", swift="NMSC", alipay="文化休闲")
VEHICLE: Final = Kind(zh="电动车电池租用", en="BATTERY HIRE", ofx="DEBIT", swift="NTRF", alipay="交通出行")
# Not TRNTYPE FEE: readers take that for an ordinary fee and never look at the words.
CHARGE: Final = Kind(zh="扣款余额不足违约金", en="INSUFFICIENT FUNDS FEE", ofx="OTHER", swift="NCHG")
