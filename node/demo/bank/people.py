"""Names of invented people, shops and firms; any likeness to a real one is chance. Never a rule in here."""

from typing import Final

from node.demo.bank.book import Dice, Party

_SURNAMES: Final = (
    ("陈", "Chen"), ("林", "Lin"), ("周", "Zhou"), ("吴", "Wu"), ("郑", "Zheng"), ("孙", "Sun"), ("马", "Ma"),
    ("朱", "Zhu"), ("胡", "Hu"), ("何", "He"), ("高", "Gao"), ("罗", "Luo"), ("谢", "Xie"), ("韩", "Han"),
)  # fmt: skip
_GIVEN: Final = (
    ("晓梅", "Xiaomei"), ("志强", "Zhiqiang"), ("雨桐", "Yutong"), ("海涛", "Haitao"), ("静怡", "Jingyi"),
    ("文博", "Wenbo"), ("秀兰", "Xiulan"), ("俊杰", "Junjie"), ("思远", "Siyuan"), ("丽华", "Lihua"),
)  # fmt: skip

EMPLOYERS: Final = (
    ("澄江精密仪器有限公司", "Chengjiang Precision Co"),
    ("东麓软件科技有限公司", "Donglu Software Co"),
    ("望溪医疗用品有限公司", "Wangxi Medical Supplies Co"),
)
SUPERMARKETS: Final = (("满庭超市", "Manting"), ("绿禾生鲜超市", "Greengrain Fresh"), ("街角便利店", "Corner Store"))
MEALS: Final = (("老巷面馆", "Old Lane Noodles"), ("山城小炒", "Hill Town Kitchen"), ("豆香早餐铺", "Bean Breakfast"))
SHOPS: Final = (("云栈商城", "Yunzhan Mall"), ("拾光数码专营店", "Shiguang Digital"), ("青禾家居旗舰店", "Qinghe Home"))
UTILITIES: Final = (
    ("城北供电公司", "Northside Power"),
    ("市自来水公司", "City Waterworks"),
    ("华信通信公司", "Huaxin Telecom"),
)
INSURERS: Final = (("安泽人寿保险公司", "Anze Life"),)
METRO: Final = (("市轨道交通公司", "City Metro"),)
WHOLESALERS: Final = (("联丰副食批发部", "Lianfeng Wholesale"), ("洪兴粮油商行", "Hongxing Grain and Oil"))
CLIENTS: Final = (
    ("启明机械制造有限公司", "Qiming Machinery Co"),
    ("海岳贸易有限公司", "Haiyue Trading Co"),
    ("北辰电气设备有限公司", "Beichen Electric Co"),
    ("南屏包装制品有限公司", "Nanping Packaging Co"),
    ("瑞谷食品有限公司", "Ruigu Foods Co"),
    ("天衡检测技术有限公司", "Tianheng Testing Co"),
    ("合川汽配有限公司", "Hechuan Auto Parts Co"),
)
MATERIALS: Final = (("永固钢材有限公司", "Yonggu Steel Co"), ("恒通五金有限公司", "Hengtong Hardware Co"))
LENDERS: Final = (
    ("速融小额贷款公司", "Surong Online Lending"),
    ("闪易消费金融公司", "Shanyi Consumer Finance"),
    ("随借小额贷款公司", "Suijie Quick Credit"),
    ("金桥网络小贷公司", "Jinqiao Web Credit"),
)
BETTING: Final = (("体彩投注站", "Betting Shop"),)
PLATFORMS: Final = (("飞骑配送平台", "Feiqi Delivery Platform"), ("同城快送平台", "City Express Platform"))
VEHICLE_HIRE: Final = (("驰能换电公司", "Chineng Battery Hire"),)
ACQUIRERS: Final = (("通汇收单服务公司", "Tonghui Acquiring"),)
BANKS: Final = (("江澜银行", "Jianglan Bank"),)
TAX_OFFICE: Final = (("市税务局", "City Revenue Bureau"),)
SOCIAL_FUND: Final = (("市社会保险中心", "City Social Fund"),)

Names = tuple[tuple[str, str], ...]


def make_party(dice: Dice, names: Names, index: int = 0) -> Party:
    """The organisation `names[index]`, with an account number."""
    zh, en = names[index % len(names)]
    return Party(zh=zh, en=en, account="3100" + dice.digits(12))


def make_parties(dice: Dice, names: Names) -> tuple[Party, ...]:
    """All organisations of `names`."""
    return tuple(make_party(dice, names, index) for index in range(len(names)))


def make_person(dice: Dice) -> Party:
    """A person, with a card number."""
    surname, given = dice.pick(_SURNAMES), dice.pick(_GIVEN)
    while surname[0] + given[0] == dice.taken:
        surname, given = dice.pick(_SURNAMES), dice.pick(_GIVEN)
    return Party(zh=surname[0] + given[0], en=f"{given[1]} {surname[1]}", account="6228" + dice.digits(15))
