"""One small, realistic file per format, made here: each gives exactly its rows, balances and grade."""

import json
from collections.abc import Callable
from datetime import date

import pytest

from scoring.ingest.read import list_formats
from scoring.ingest.statement import Statement, StatementError
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Provenance, encode_row

OWN = (
    "date,amount,balance,description,counterparty,currency\n"
    "2024-03-01,2500.00,3100.00,Salary March,ACME GmbH,EUR\n"
    "2024-03-02,-800.00,2300.00,Rent,Mrs Landlord,EUR\n"
    "2024-03-02,-12.50,2287.50,Card payment,Coffee Bar,EUR\n"
)
OFX = """OFXHEADER:100
DATA:OFXSGML
VERSION:102
SECURITY:NONE
ENCODING:USASCII
CHARSET:1252
COMPRESSION:NONE
OLDFILEUID:NONE
NEWFILEUID:NONE

<OFX><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>USD
<BANKACCTFROM><BANKID>1<ACCTID>000123456789<ACCTTYPE>CHECKING</BANKACCTFROM>
<BANKTRANLIST><DTSTART>20240301<DTEND>20240331
<STMTTRN><TRNTYPE>DIRECTDEP<DTPOSTED>20240301<TRNAMT>2500.00<FITID>1<NAME>ACME &amp; CO<MEMO></STMTTRN>
<STMTTRN><TRNTYPE>POS<DTPOSTED>20240305233000[-5:EST]<TRNAMT>-20.5<FITID>2<NAME>GROCER</STMTTRN>
</BANKTRANLIST><LEDGERBAL><BALAMT>3000.00<DTASOF>20240331</LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>
"""
MT940 = """{1:F01BANKDEFFXXXX0000000000}{4:
:20:STARTUMS
:25:10020030/1234567
:28C:1/1
:60F:C240229EUR1000,00
:61:2403010301CR250,5NTRFNONREF
:86:166?00GUTSCHRIFT?20Rechnung?21 4711?30COBADEFF?31DE02120300000000202051?32MUSTER AG
:61:2403020302D50,00NMSCREF1//BANKREF
:86:/NAME/STADTWERKE/REMI/Strom Maerz/
:61:2403030303RC0,50NMSCNONREF
:62F:C240331EUR1200,00
-}
"""
CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<n:Document xmlns:n="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><n:BkToCstmrStmt><n:Stmt>
<n:Acct><n:Id><n:IBAN>DE89370400440532013000</n:IBAN></n:Id><n:Ccy>EUR</n:Ccy><n:Ownr><n:Nm>Anna Beispiel</n:Nm></n:Ownr></n:Acct>
<n:Bal><n:Tp><n:CdOrPrtry><n:Cd>PRCD</n:Cd></n:CdOrPrtry></n:Tp><n:Amt Ccy="EUR">100.00</n:Amt>
<n:CdtDbtInd>DBIT</n:CdtDbtInd><n:Dt><n:Dt>2024-03-01</n:Dt></n:Dt></n:Bal>
<n:Bal><n:Tp><n:CdOrPrtry><n:Cd>CLBD</n:Cd></n:CdOrPrtry></n:Tp><n:Amt Ccy="EUR">50.00</n:Amt>
<n:CdtDbtInd>CRDT</n:CdtDbtInd><n:Dt><n:Dt>2024-03-31</n:Dt></n:Dt></n:Bal>
<n:Ntry><n:Amt Ccy="EUR">200.00</n:Amt><n:CdtDbtInd>CRDT</n:CdtDbtInd><n:Sts><n:Cd>BOOK</n:Cd></n:Sts>
<n:BookgDt><n:Dt>2024-03-05</n:Dt></n:BookgDt><n:NtryDtls><n:TxDtls><n:RltdPties><n:Dbtr><n:Pty><n:Nm>Anna Beispiel</n:Nm></n:Pty></n:Dbtr>
</n:RltdPties><n:RmtInf><n:Ustrd>Transfer</n:Ustrd></n:RmtInf></n:TxDtls></n:NtryDtls></n:Ntry>
<n:Ntry><n:Amt Ccy="EUR">50.00</n:Amt><n:CdtDbtInd>DBIT</n:CdtDbtInd><n:Sts><n:Cd>BOOK</n:Cd></n:Sts>
<n:BookgDt><n:DtTm>2024-03-06T09:30:00+01:00</n:DtTm></n:BookgDt><n:AddtlNtryInf>Lastschrift Miete</n:AddtlNtryInf></n:Ntry>
<n:Ntry><n:Amt Ccy="EUR">9.00</n:Amt><n:CdtDbtInd>DBIT</n:CdtDbtInd><n:Sts><n:Cd>PDNG</n:Cd></n:Sts></n:Ntry>
</n:Stmt></n:BkToCstmrStmt></n:Document>
"""  # noqa: E501  (a file as a bank writes it)
ALIPAY = """------------------------
导出信息：
姓名：王小明
支付宝账户：wang@example.com
起始时间：[2024-03-01 00:00:00]    终止时间：[2024-03-31 23:59:59]
------------------------支付宝（中国）网络技术有限公司  电子客户回单------------------------
交易时间,交易分类,交易对方,对方账号,商品说明,收/支,金额,收/付款方式,交易状态,交易订单号,商家订单号,备注,
2024-03-20 12:00:00,退款,某商城,/,退款-鞋,不计收支,99.00,余额,退款成功,1\t,2\t,,
2024-03-19 12:00:00,转账红包,李四,li***@qq.com,货款,收入,1200.00,余额,交易成功,3\t,4\t,,
2024-03-18 08:30:00,餐饮美食,某餐厅,/,午餐,支出,35.50,花呗,交易成功,5\t,6\t,,
2024-03-17 08:30:00,投资理财,余额宝,/,余额宝-自动转入,不计收支,500.00,余额,交易成功,7\t,8\t,,
"""
WECHAT_HEADER = "交易时间,交易类型,交易对方,商品,收/支,金额(元),支付方式,当前状态,交易单号,商户单号,备注"
WECHAT_ROWS = [
    ["2024-03-20 12:00:00", "二维码收款", "客户甲", "收款方备注:二维码收款", "收入", "¥88.00", "零钱", "已收钱", "1", "/", "/"],  # noqa: E501
    ["2024-03-19 08:00:00", "零钱提现", "招商银行(1234)", "/", "/", "¥1000.10", "招商银行", "提现已到账", "2", "/", "服务费¥0.10"],  # noqa: E501
    ["2024-03-18 07:59:59", "商户消费", "便利店", "早餐", "支出", "¥12.30", "零钱", "支付成功", "3", "4", "/"],
]  # fmt: skip
PREAMBLE = ["微信支付账单明细", "起始时间：[2024-03-01 00:00:00] 终止时间：[2024-03-31 23:59:59]"]
BOC = """中国银行储蓄卡账单明细
记账日期,记账时间,币别,金额,余额,交易名称,渠道,网点名称,附言,对方账户名,对方卡号/账号,对方开户行,借记卡号
2024-03-18,10:19:28,人民币,-11.00,"4,853.00",网上快捷支付,银企对接,-------------------,财付通-扫二维码付款,财付通,Z2004944000010N,-------------------,6217000000000000123
2024-03-15,09:00:00,人民币,"4,000.00","4,864.00",代发工资,其他,-------------------,工资,某公司,-------------------,-------------------,6217000000000000123
"""
BOCOM = """序号,交易日期 Trans Date,交易时间 Trans Time,交易类型 Trading Type,借贷 Dc Flg,交易金额 Trans Amt,余额 Balance,对方账号 Payment Receipt Account,对方户名 Payment Receipt Account Name,交易地点 Trading Place,摘要 Abstract
1,2024-03-01,09:30:05,转账,贷 Cr,"1,000.00","1,500.00",6222000000001111,张三,手机银行,货款
2,2024-03-02,18:00:00,消费,借 Dr,200.00,"1,300.00",,超市,银联,消费
"""  # noqa: E501  (a file as a bank writes it)
CCB = [
    ["China Construction Bank", "", "", "", "", "", "", "", "", "", ""],
    ["开户机构:", "某支行", "", "", "", "", "", "", "", "", ""],
    ["币种:", "人民币", "", "", "", "", "", "", "", "", ""],
    ["账号:", "6217000000001234", "", "", "", "", "", "", "", "", ""],
    ["", "", "", "", "", "", "", "", "", "", ""],
    ["记账日", "交易日期", "交易时间", "支出", "收入", "账户余额", "币种", "摘要", "对方账号", "对方户名", "交易地点"],
    ["20240301", "20240301", "08:00:00", 0.0, 5000.55, 6000.55, "人民币元", "代发工资", "", "某公司", ""],
    ["20240302", "20240302", "12:00:00", 1500.5, 0.0, 4500.05, "人民币元", "房租", "6222", "房东", "手机银行"],
    ["以上数据仅供参考，具体内容请以柜台为准", "", "", "", "", "", "", "", "", "", ""],
]
ICBC = """明细查询文件下载

卡号: 1234****9876,"卡别名: "

交易日期,摘要,交易详情,交易场所,交易国家或地区简称,钞/汇,交易金额(收入),交易金额(支出),交易币种,记账金额(收入),记账金额(支出),记账币种,余额,对方户名,对方账户
2024-03-05     ,"消费   ","  ","便利店 ","CHN ",钞 ,"- ","- ",- ,"  ","10.00  ",人民币 ,"1,990.00 ","某商户   ","1234****9876 ",
2024-03-01     ,"工资   ","  ","  ","CHN ",钞 ,"- ","- ",- ,"2,000.00  ","  ",人民币 ,"2,000.00 ","某公司   ","1234****9876 ",

人民币合计,,,,,,,,,"2,000.00 ","10.00 ",
"""  # noqa: E501  (a file as a bank writes it)
CMB = """记账日期,货币,交易金额,联机余额,交易摘要,对手信息,客户摘要
2024-03-02,CNY,-30.00,170.00,银联消费,某店,消费
2024-03-01,CNY,"1,100.00","1,200.00",代发工资,某公司,工资
2024-03-01,CNY,"-1,000.00",200.00,转账汇款,李四 6666,转账
"""
PLAID = {
    "accounts": [
        {"account_id": "a1", "mask": "4321", "type": "depository",
         "balances": {"current": 1000.10, "iso_currency_code": "USD"}},
    ],
    "transactions": [
        {"account_id": "a1", "amount": 12.5, "date": "2024-03-02", "name": "Coffee", "merchant_name": "Bean Bar",
         "iso_currency_code": "USD", "pending": False},
        {"account_id": "a1", "amount": -2000, "date": "2024-03-01", "name": "ACME PAYROLL", "iso_currency_code": "USD",
         "pending": False},
        {"account_id": "a1", "amount": 5, "date": "2024-03-03", "name": "Pending", "iso_currency_code": "USD", "pending": True},  # noqa: E501
    ],
}  # fmt: skip
BERLIN = {
    "account": {"iban": "DE2310010010123456789", "currency": "EUR"},
    "transactions": {
        "booked": [
            {"transactionId": "1", "creditorName": "Landlord", "creditorAccount": {"iban": "DE67100100101306118605"},
             "transactionAmount": {"currency": "EUR", "amount": "-256.67"}, "bookingDate": "2024-03-02",
             "remittanceInformationUnstructured": "Miete"},
            {"transactionId": "2", "debtorName": "Paul", "transactionAmount": {"currency": "EUR", "amount": "343.01"},
             "bookingDate": "2024-03-01", "remittanceInformationUnstructured": "Gehalt"},
        ],
        "pending": [{"transactionAmount": {"currency": "EUR", "amount": "-100.03"}}],
    },
    "balances": [
        {"balanceType": "openingBooked", "balanceAmount": {"currency": "EUR", "amount": "100.00"}, "referenceDate": "2024-03-01"},  # noqa: E501
        {"balanceType": "closingBooked", "balanceAmount": {"currency": "EUR", "amount": "186.34"}, "referenceDate": "2024-03-31"},  # noqa: E501
    ],
}  # fmt: skip


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def codes(statement: Statement) -> set[str]:
    return {str(each.code) for each in statement.warnings}


def test_own_csv(read: Callable[..., Statement]) -> None:
    """The project's own CSV with balances is a closed chain with opening balance, categories and channels."""
    statement = read(OWN)
    assert (statement.format, statement.currency, statement.exponent) == ("csv", "EUR", 2)
    assert [row.amount for row in statement.rows] == [250000, -80000, -1250]
    assert (statement.opening_balance, statement.closing_balance) == (60000, 228750)
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert [row.category for row in statement.rows] == [Category.SALARY, Category.HOUSEHOLD, Category.SHOPPING]
    assert statement.rows[2].channel is Channel.CARD
    assert all(len(encode_row(row)) > 20 for row in statement.rows)


def test_own_csv_without_currency_assumes_yuan_and_says_so(read: Callable[..., Statement]) -> None:
    """The documented default currency is an assumption, hence a warning."""
    statement = read("date,amount,balance,description,counterparty\n2024-03-01,1.00,,x,y\n")
    assert statement.currency == "CNY"
    assert "currency_assumed" in codes(statement)


def test_ofx(read: Callable[..., Statement]) -> None:
    """OFX: values closed or not, empty values, entities, local dates, balances back from the ledger balance."""
    statement = read(OFX)
    assert [(row.day, row.minute, row.amount, row.balance) for row in statement.rows] == [
        (day("2024-03-01"), -1, 250000, 302050),
        (day("2024-03-05"), 23 * 60 + 30, -2050, 300000),
    ]
    assert (statement.opening_balance, statement.closing_balance) == (52050, 300000)
    assert (statement.first_day, statement.last_day) == (day("2024-03-01"), day("2024-03-31"))
    assert statement.provenance is Provenance.FILE
    assert statement.rows[0].category is Category.SALARY


def test_ofx_2_is_the_same_statement(read: Callable[..., Statement]) -> None:
    """OFX 2 (XML, every value closed) gives the same rows as OFX 1."""
    body = OFX[OFX.index("<OFX>") :]
    for tag in ("CURDEF", "BANKID", "ACCTID", "ACCTTYPE", "DTSTART", "DTEND", "TRNTYPE", "DTPOSTED", "TRNAMT", "FITID",
                "NAME", "BALAMT", "DTASOF"):  # fmt: skip
        parts = body.split(f"<{tag}>")
        body = parts[0] + "".join(
            f"<{tag}>"
            + (head := part[: min(i for i in (part.find("<"), part.find("\n")) if i >= 0)])
            + f"</{tag}>"
            + part[len(head) :]
            for part in parts[1:]
        )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<?OFX OFXHEADER="200" VERSION="211"?>\n'
    assert read(head + body.replace("<MEMO>", "<MEMO></MEMO>")).rows == read(OFX).rows


def test_ofx_balance_of_a_later_day_is_not_carried_to_rows(read: Callable[..., Statement]) -> None:
    """A ledger balance dated after the list ends closes other rows too, so no row gets a balance from it."""
    statement = read(OFX.replace("<DTASOF>20240331", "<DTASOF>20240410"))
    assert {row.balance for row in statement.rows} == {None}
    assert statement.closing_balance == 300000
    assert "balance_outside_period" in codes(statement)


def test_mt940(read: Callable[..., Statement]) -> None:
    """MT940: envelope, subfields of field 86, reversal of a credit, chain from opening to closing balance."""
    statement = read(MT940)
    assert [(row.amount, row.balance) for row in statement.rows] == [(25050, 125050), (-5000, 120050), (-50, 120000)]
    assert (statement.opening_balance, statement.closing_balance) == (100000, 120000)
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert statement.rows[1].category is Category.HOUSEHOLD
    assert statement.rows[2].category is Category.REVERSAL
    assert statement.rows[0].counterparty != NO_COUNTERPARTY
    assert statement.rows[2].counterparty == NO_COUNTERPARTY
    assert statement.last_day == day("2024-03-31")


def test_mt940_entry_date_crosses_the_year(read: Callable[..., Statement]) -> None:
    """A booking date without a year is the one nearest to the value date."""
    text = MT940.replace("2403010301CR", "2312310102CR")
    assert read(text).rows[0].day == day("2024-01-02")


def test_mt940_line_without_type_code_stays_a_row_of_its_own(read: Callable[..., Statement]) -> None:
    """Two rows without transaction type are two rows, never merged."""
    text = MT940.replace("CR250,5NTRFNONREF", "CR250,5").replace("D50,00NMSCREF1//BANKREF", "D50,00")
    assert [row.amount for row in read(text).rows] == [25050, -5000, -50]


def test_mt940_that_breaks_off_is_refused(refusal: Callable[..., StatementError]) -> None:
    """A message without its closing balance is half a file; half a file is not read."""
    error = refusal(MT940[: MT940.index(":62F:")])
    assert (str(error.code), error.line) == ("broken_file", 10)


def test_camt(read: Callable[..., Statement]) -> None:
    """camt.053: prefix, negative opening, pending left out, holder as counterparty means an own transfer."""
    statement = read(CAMT)
    assert [(row.amount, row.balance, row.minute) for row in statement.rows] == [(20000, 10000, -1), (-5000, 5000, 570)]
    assert (statement.opening_balance, statement.closing_balance) == (-10000, 5000)
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert statement.rows[0].category is Category.OWN_TRANSFER
    assert statement.rows[1].channel is Channel.DIRECT_DEBIT
    assert "pending_rows" in codes(statement)


def test_camt_without_namespace_is_the_same(read: Callable[..., Statement]) -> None:
    """A namespace is decoration: without it the same rows come out."""
    plain = CAMT.replace("n:", "").replace(' xmlns:n="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"', "")
    assert read(plain.replace('xmlns="', 'x="')).rows == read(CAMT).rows


def test_alipay(read: Callable[..., Statement]) -> None:
    """Alipay (GB18030): income, expense, a refund as money in, own pockets as 0, oldest first."""
    statement = read(ALIPAY.encode("gb18030"))
    assert (statement.format, statement.holder, statement.account_ref) == ("alipay_csv", "王小明", "wang@example.com")
    assert [(row.amount, row.category) for row in statement.rows] == [
        (0, Category.OWN_TRANSFER),
        (-3550, Category.SHOPPING),
        (120000, Category.BUSINESS_INCOME),
        (9900, Category.REFUND),
    ]
    assert statement.closing_balance is None
    assert {"order_reversed", "neutral_rows"} <= codes(statement)
    assert (statement.first_day, statement.last_day) == (day("2024-03-01"), day("2024-03-31"))


def test_wechat_csv_and_xlsx_agree(read: Callable[..., Statement], make_xlsx: Callable[..., bytes]) -> None:
    """WeChat's CSV and its newer xlsx give the same rows, '/' rows counting 0."""
    lines = [PREAMBLE[0] + "," * 8, PREAMBLE[1] + "," * 8, WECHAT_HEADER, *(",".join(row) for row in WECHAT_ROWS)]
    by_csv = read("\ufeff" + "\n".join(lines))
    sheet = [[PREAMBLE[0]], [PREAMBLE[1]], WECHAT_HEADER.split(","), *WECHAT_ROWS]
    by_sheet = read(make_xlsx(sheet))
    assert [row.amount for row in by_csv.rows] == [-1230, 0, 8800]
    assert by_sheet == by_csv
    assert by_csv.rows[1].category is Category.OWN_TRANSFER


def test_wechat_xlsx_with_number_cells(read: Callable[..., Statement], make_xlsx: Callable[..., bytes]) -> None:
    """A number cell is taken by its shortest decimal text, so 0.07 is exactly 7 fen."""
    rows = [[*WECHAT_ROWS[0]], [*WECHAT_ROWS[2]]]
    rows[0][5], rows[1][5] = 0.07, 1234.56
    statement = read(make_xlsx([[PREAMBLE[0]], WECHAT_HEADER.split(","), *rows]))
    assert sorted(row.amount for row in statement.rows) == [-123456, 7]


def test_float_artefact_is_refused(refusal: Callable[..., StatementError], make_xlsx: Callable[..., bytes]) -> None:
    """A cell that holds 0.30000000000000004 is no amount in fen; rounding it would be a guess."""
    row = [*WECHAT_ROWS[0]]
    row[5] = 0.1 + 0.2
    error = refusal(make_xlsx([[PREAMBLE[0]], WECHAT_HEADER.split(","), row]))
    assert (str(error.code), error.line) == ("surplus_digits", 3)


def test_boc(read: Callable[..., Statement]) -> None:
    """Bank of China: one signed amount, time of day, newest first, chain closes after turning."""
    statement = read(BOC.encode("gb18030"))
    assert [(row.amount, row.balance, row.minute) for row in statement.rows] == [
        (400000, 486400, 540),
        (-1100, 485300, 619),
    ]
    assert (statement.format, statement.provenance) == ("boc", Provenance.BALANCE_CHAIN)
    assert [row.category for row in statement.rows] == [Category.SALARY, Category.SHOPPING]
    assert "order_reversed" in codes(statement)


@pytest.mark.parametrize("bilingual", [True, False])
def test_bocom(bilingual: bool, read: Callable[..., Statement]) -> None:
    """Bank of Communications: the sign is a column of debit and credit; headings bilingual or Chinese."""
    head, _, body = BOCOM.partition("\n")
    if not bilingual:
        head = ",".join(each.split(" ")[0] for each in head.split(","))
    statement = read("\ufeff" + head + "\n" + body)
    assert [(row.amount, row.balance) for row in statement.rows] == [(100000, 150000), (-20000, 130000)]
    assert (statement.format, statement.provenance) == ("bocom", Provenance.BALANCE_CHAIN)


def test_ccb_xls(read: Callable[..., Statement], make_xls: Callable[..., bytes]) -> None:
    """China Construction Bank's legacy xls: number cells, a note at the end, account from the preamble."""
    statement = read(make_xls(CCB))
    assert [(row.amount, row.balance) for row in statement.rows] == [(500055, 600055), (-150050, 450005)]
    assert (statement.format, statement.provenance) == ("ccb", Provenance.BALANCE_CHAIN)
    assert statement.account_ref == "6217000000001234"
    assert [row.category for row in statement.rows] == [Category.SALARY, Category.HOUSEHOLD]


def test_icbc(read: Callable[..., Statement]) -> None:
    """ICBC: padded cells, in and out columns, totals that agree, newest first."""
    statement = read(ICBC)
    assert [(row.amount, row.balance) for row in statement.rows] == [(200000, 200000), (-1000, 199000)]
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert "totals_mismatch" not in codes(statement)
    wrong = read(ICBC.replace('"10.00 "', '"11.00 "'))
    assert "totals_mismatch" in codes(wrong)


def test_icbc_masked_balance_is_missing(read: Callable[..., Statement]) -> None:
    """A masked balance is no balance, so the file is graded as one without a chain."""
    statement = read(ICBC.replace("1,990.00 ", "xx,yyyy.zz "))
    assert statement.rows[-1].balance is None
    assert statement.provenance is Provenance.FILE
    assert "balance_masked" in codes(statement)


def test_cmb_out_of_order_is_put_into_its_chain(read: Callable[..., Statement]) -> None:
    """CMB lists rows in no order of time; the order is found in which the balances close."""
    statement = read(CMB)
    assert [row.amount for row in statement.rows] == [110000, -100000, -3000]
    assert (statement.opening_balance, statement.closing_balance) == (10000, 17000)
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert "order_sorted" in codes(statement)


def test_plaid(read: Callable[..., Statement]) -> None:
    """Plaid: positive is money out, pending rows are left out, numbers keep their text."""
    statement = read(json.dumps(PLAID))
    assert [row.amount for row in statement.rows] == [200000, -1250]
    assert statement.closing_balance == 100010
    assert statement.rows[0].category is Category.SALARY
    assert {"pending_rows", "order_reversed"} <= codes(statement)


def test_berlin_group(read: Callable[..., Statement]) -> None:
    """Berlin Group: signed text amounts, booked only, chain from opening to closing balance."""
    statement = read(json.dumps(BERLIN))
    assert [(row.amount, row.balance) for row in statement.rows] == [(34301, 44301), (-25667, 18634)]
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert statement.account_ref == "DE2310010010123456789"
    assert "pending_rows" in codes(statement)


@pytest.mark.parametrize(
    ("text", "amounts", "currency"),
    [
        ("Date,Description,Debit,Credit,Balance,Currency\n01/31/2024,Shop,10.00,,90.00,USD\n02/01/2024,Pay,,5.00,95.00,USD\n",
         [-1000, 500], "USD"),
        ("Date;Libellé;Débit;Crédit;Solde\n31/01/2024;Loyer;-1 000,50;;99,50\n01/02/2024;Salaire;;2 000,00;2 099,50\n",
         [-100050, 200000], "EUR"),
        ("Fecha;Concepto;Importe;Saldo\n31/01/2024;Alquiler;-1.000,50;99,50\n01/02/2024;Nómina;2.000,00;2.099,50\n",
         [-100050, 200000], "EUR"),
        ("Datum,Omschrijving,Af Bij,Bedrag (EUR)\n20240131,Huur,Af,\"1000,50\"\n20240201,Salaris,Bij,\"2000,00\"\n",
         [-100050, 200000], "EUR"),
        ("交易日期,摘要,收入,支出,余额\n2024年1月31日,房租,,1000.00,500.00\n2024年2月1日,工资,2000.00,,2500.00\n",
         [-100000, 200000], "CNY"),
        ("Booking date\tAmount (GBP)\tDetails\n31 Jan 2024\t(10.00)\tShop\n1 Feb 2024\t20.00\tPay\n", [-1000, 2000], "GBP"),  # noqa: E501
        ("Date|Amount|Memo|Ccy\n2024-01-31|-100|Shop|JPY\n2024-02-01|2000|Pay|JPY\n", [-100, 2000], "JPY"),
        ("Date,Amount,Memo,Ccy\n2024-01-31,-1.005,Shop,KWD\n2024-02-01,20.5,Pay,KWD\n", [-1005, 20500], "KWD"),
    ],
)  # fmt: skip
def test_generic_tables(text: str, amounts: list[int], currency: str, read: Callable[..., Statement]) -> None:
    """Plain bank CSVs in several languages, delimiters, date forms and exponents give exact minor units."""
    statement = read(text)
    assert [row.amount for row in statement.rows] == amounts
    assert statement.currency == currency


def test_every_listed_format_is_one_that_a_test_reads() -> None:
    """The list of formats is what the reader really gives."""
    assert [code for code, _ in list_formats()] == [
        "ofx", "mt940", "camt053", "csv", "alipay_csv", "wechat", "icbc", "cmb", "boc", "bocom", "ccb", "plaid",
        "berlin_group",
    ]  # fmt: skip
