"""The customers: five ways of living from an account, each from day to day.

Amounts are major units at CNY prices of a second-tier city. A life sees its balance as a person does, but never the
bank's book, a file format or a score; what a lender should think of it is not decided here.
"""

from datetime import date, timedelta
from typing import Final

from node.demo.bank import kinds, people
from node.demo.bank.book import Dice, Intent, Party
from node.demo.bank.kinds import Kind

_SATURDAY: Final = 5


def is_payday(day: date, day_of_month: int) -> bool:
    """Whether what is due on `day_of_month` is paid on `day`: on a weekend, the Friday before."""
    if day.weekday() >= _SATURDAY:
        return False
    ahead = 3 if day.weekday() == _SATURDAY - 1 else 1
    return any((day + timedelta(days=offset)).day == day_of_month for offset in range(ahead))


class Person:
    """What every household does: eat, travel, shop, pay for power, water and the phone."""

    def __init__(self, dice: Dice, *, rent: int, rent_day: int = 1, thrift: int = 100) -> None:
        self.dice = dice
        self.rent = dice.money(rent, cents=False)
        self.rent_day = rent_day
        self.thrift = thrift
        """Per cent of the ordinary household's spending."""
        self.landlord = people.make_person(dice)
        self.power, self.water, self.phone = people.make_parties(dice, people.UTILITIES)
        self.phone_bill = dice.money(59, 129, cents=False)
        self.markets = people.make_parties(dice, people.SUPERMARKETS)
        self.kitchens = people.make_parties(dice, people.MEALS)
        self.shops = people.make_parties(dice, people.SHOPS)
        self.metro = people.make_party(dice, people.METRO)

    def pay(self, kind: Kind, amount: int, party: Party, *, hours: tuple[int, int] = (9, 20), note: str = "") -> Intent:
        """A payment the holder makes."""
        return Intent(second=self.dice.second(*hours), amount=-amount, kind=kind, party=party, note=note)

    def claim(self, kind: Kind, amount: int, party: Party, *, note: str = "") -> Intent:
        """A direct debit, collected in the morning."""
        second = self.dice.second(6, 8)
        return Intent(second=second, amount=-amount, kind=kind, party=party, note=note, is_claim=True)

    def receive(
        self, kind: Kind, amount: int, party: Party, *, hours: tuple[int, int] = (9, 17), note: str = ""
    ) -> Intent:
        """Money from somebody."""
        return Intent(second=self.dice.second(*hours), amount=amount, kind=kind, party=party, note=note)

    def keep_house(self, day: date) -> list[Intent]:
        """Rent, bills and daily spending of one day."""
        dice = self.dice
        plans: list[Intent] = []
        if day.day == self.rent_day:
            plans.append(self.pay(kinds.RENT, self.rent, self.landlord, hours=(8, 10)))
        if day.day == 12:
            plans.append(self.claim(kinds.POWER, dice.money(110, 240), self.power))
        if day.day == 18 and day.month % 2:
            plans.append(self.claim(kinds.WATER, dice.money(60, 95), self.water))
        if day.day == 5:
            plans.append(self.claim(kinds.PHONE, self.phone_bill, self.phone))
        if dice.happens(36 * self.thrift // 100):
            plans.append(self.pay(kinds.GROCERIES, dice.money(38, 190), dice.pick(self.markets), hours=(16, 20)))
        if dice.happens(48 * self.thrift // 100):
            plans.append(self.pay(kinds.MEAL, dice.money(14, 66), dice.pick(self.kitchens), hours=(11, 19)))
        if day.weekday() < _SATURDAY and dice.happens(40):
            plans.append(self.pay(kinds.FARE, dice.money(3, 9, cents=False), self.metro, hours=(7, 18)))
        if dice.happens(9 * self.thrift // 100):
            shop, amount = dice.pick(self.shops), dice.money(49, 380)
            plans.append(self.pay(kinds.SHOPPING, amount, shop, hours=(19, 22)))
            if dice.happens(6):
                plans.append(self.receive(kinds.REFUND, amount, shop, hours=(23, 23)))
        return plans


class SalariedSteady(Person):
    """A monthly salary from one employer, rent, a helped parent, and something put aside every month."""

    def __init__(self, dice: Dice) -> None:
        super().__init__(dice, rent=3_400)
        self.employer = people.make_party(dice, people.EMPLOYERS, dice.between(0, 2))
        self.salary = dice.money(13_800, 15_600)
        self.parent = people.make_person(dice)
        self.insurer = people.make_party(dice, people.INSURERS)
        self.savings = Party(zh="本人定期账户", en="Own savings account", account="6217" + dice.digits(15))

    def plan(self, day: date, balance: int) -> list[Intent]:
        """The intents of one day; see `Life`."""
        dice = self.dice
        plans = self.keep_house(day)
        if is_payday(day, 10):
            amount = self.salary * dice.between(985, 1015) // 1000
            plans.append(self.receive(kinds.SALARY, amount, self.employer, hours=(9, 11), note=f"{day:%Y%m}"))
            if day.month == 1:
                plans.append(self.receive(kinds.BONUS, self.salary // 2, self.employer, hours=(12, 13)))
        if day.day == 24 and dice.happens(75):
            plans.append(self.receive(kinds.EXPENSES_BACK, dice.money(280, 900), self.employer))
        if day.day == 15:
            plans.append(self.pay(kinds.FAMILY, dice.money(800, cents=False), self.parent))
        if day.day == 20:
            plans.append(self.claim(kinds.INSURANCE, dice.money(268, cents=False), self.insurer))
        if day.day == 27:
            plans.append(self.pay(kinds.SAVING, dice.money(4_000, cents=False), self.savings))
        return plans


class Shopkeeper(Person):
    """A corner shop: many small takings by QR code, goods bought twice a week, one helper."""

    def __init__(self, dice: Dice, *, is_wallet: bool) -> None:
        super().__init__(dice, rent=3_600, rent_day=3, thrift=70)
        self.is_wallet = is_wallet
        """A wallet shows each customer's payment; a bank shows the acquirer's settlement of the day before."""
        self.wholesalers = people.make_parties(dice, people.WHOLESALERS)
        self.acquirer = people.make_party(dice, people.ACQUIRERS)
        self.helper = people.make_person(dice)
        self.regulars = tuple(people.make_person(dice) for _ in range(60))
        self.savings = Party(zh="本人银行卡", en="Own bank card", account="6217" + dice.digits(15))

    def plan(self, day: date, balance: int) -> list[Intent]:
        """The intents of one day; see `Life`."""
        dice = self.dice
        plans = self.keep_house(day)
        sales = [dice.money(8, 165) for _ in range(dice.between(8, 13) + (4 if day.weekday() >= _SATURDAY else 0))]
        if self.is_wallet:
            plans += [self.receive(kinds.TAKINGS, sale, dice.pick(self.regulars), hours=(7, 21)) for sale in sales]
        else:
            plans.append(self.receive(kinds.SETTLEMENT, sum(sales), self.acquirer, hours=(5, 5), note=f"{day:%m%d}"))
        if day.weekday() in (1, 4):
            plans.append(self.pay(kinds.SUPPLIER, dice.money(1_150, 2_050), dice.pick(self.wholesalers), hours=(5, 9)))
        if is_payday(day, 8):
            plans.append(self.pay(kinds.FAMILY, dice.money(3_000, cents=False), self.helper, note="WAGES"))
        if day.day == 28:
            plans.append(self.pay(kinds.WITHDRAWAL, dice.money(4_500, cents=False), self.savings))
        return plans


class SmallFirm(Person):
    """A workshop with a handful of business customers, a payroll, suppliers and taxes."""

    def __init__(self, dice: Dice) -> None:
        super().__init__(dice, rent=9_500, rent_day=2)
        self.clients = people.make_parties(dice, people.CLIENTS)
        self.staff = tuple((people.make_person(dice), dice.money(6_200, 9_800)) for _ in range(5))
        self.materials = people.make_parties(dice, people.MATERIALS)
        self.office, self.fund = people.make_party(dice, people.TAX_OFFICE), people.make_party(dice, people.SOCIAL_FUND)
        self.owner = Party(zh="本人存款账户", en="Own deposit account", account="6217" + dice.digits(15))
        self.invoice = dice.between(200, 400)

    def plan(self, day: date, balance: int) -> list[Intent]:
        """The intents of one day; see `Life`."""
        dice = self.dice
        plans: list[Intent] = []
        if day.weekday() < _SATURDAY and dice.happens(38):
            self.invoice += 1
            amount = dice.money(9_000, 23_000)
            plans.append(
                self.receive(kinds.INVOICE_IN, amount, dice.pick(self.clients), note=f"INV {day:%Y}-{self.invoice:04d}")
            )
        if is_payday(day, 10):
            plans += [self.pay(kinds.WAGES_OUT, wage, person, note=f"{day:%Y%m}") for person, wage in self.staff]
        if is_payday(day, 22):
            plans.append(self.claim(kinds.SOCIAL, dice.money(9_800, 10_400), self.fund))
        if is_payday(day, 14):
            plans.append(self.pay(kinds.TAX, dice.money(4_200, 6_400), self.office))
        if is_payday(day, self.rent_day):
            plans.append(self.pay(kinds.RENT, self.rent, self.landlord))
        if day.weekday() == 2 and dice.happens(80):
            plans.append(self.pay(kinds.SUPPLIER, dice.money(6_500, 12_500), dice.pick(self.materials)))
        if day.day == 12:
            plans.append(self.claim(kinds.POWER, dice.money(1_100, 1_900), self.power))
        if day.day == 26 and balance > dice.money(260_000):
            plans.append(self.pay(kinds.SAVING, dice.money(20_000, cents=False), self.owner))
        return plans


class Overstretched(Person):
    """A shrinking wage, online loans taken to repay online loans, bets at night, debits that fail."""

    def __init__(self, dice: Dice) -> None:
        super().__init__(dice, rent=2_600, thrift=115)
        self.employer = people.make_party(dice, people.EMPLOYERS, dice.between(0, 2))
        self.wage = dice.money(7_400, 8_200)
        self.lenders = people.make_parties(dice, people.LENDERS)
        self.shop = people.make_party(dice, people.BETTING)
        self.cash_machine = people.make_party(dice, people.BANKS)
        self.loans: list[tuple[Party, int, int]] = []
        """(lender, instalment, day of the month) of every loan taken."""
        self.asked_on = 0

    def plan(self, day: date, balance: int) -> list[Intent]:
        """The intents of one day; see `Life`."""
        dice = self.dice
        plans = self.keep_house(day)
        if is_payday(day, 15):
            self.wage = self.wage * dice.between(950, 995) // 1000
            plans.append(self.receive(kinds.SALARY, self.wage, self.employer, hours=(9, 11), note=f"{day:%Y%m}"))
        plans += [
            self.claim(kinds.LOAN_OUT, instalment, lender, note=f"NO {number}")
            for number, (lender, instalment, due_day) in enumerate(self.loans, start=1)
            if due_day == day.day
        ]
        if balance < dice.money(1_200) and len(self.loans) < 11 and day.toordinal() - self.asked_on >= 16:
            self.asked_on = day.toordinal()
            lender, amount = dice.pick(self.lenders), dice.money(2_000, 5_000, cents=False)
            plans.append(self.receive(kinds.LOAN_IN, amount, lender, hours=(10, 22)))
            self.loans.append((lender, amount * 118 // 1200, dice.between(1, 28)))
        if dice.happens(30):
            plans.append(self.pay(kinds.GAMBLING, dice.money(50, 420, cents=False), self.shop, hours=(0, 3)))
        if dice.happens(8):
            plans.append(
                self.pay(kinds.CASH, dice.money(100, 500, cents=False) // 10_000 * 10_000 or 10_000, self.cash_machine)
            )
        return plans


class GigWorker(Person):
    """A courier: two platforms that settle weekly, good and bad weeks, a hired battery, a small reserve."""

    def __init__(self, dice: Dice) -> None:
        super().__init__(dice, rent=1_500, thrift=80)
        self.platforms = people.make_parties(dice, people.PLATFORMS)
        self.hire = people.make_party(dice, people.VEHICLE_HIRE)
        self.home = people.make_person(dice)

    def plan(self, day: date, balance: int) -> list[Intent]:
        """The intents of one day; see `Life`."""
        dice = self.dice
        plans = self.keep_house(day)
        if day.weekday() == 2 and dice.happens(94):
            plans.append(self.receive(kinds.PLATFORM_PAY, dice.money(950, 1_650), self.platforms[0], hours=(10, 12)))
        if day.weekday() == 4 and dice.happens(85):
            plans.append(self.receive(kinds.PLATFORM_PAY, dice.money(320, 820), self.platforms[1], hours=(14, 16)))
        if day.day == 6:
            plans.append(self.pay(kinds.VEHICLE, dice.money(299, cents=False), self.hire))
        if day.day == 16 and balance > dice.money(4_000):
            plans.append(self.pay(kinds.FAMILY, dice.money(2_600, cents=False), self.home))
        return plans
