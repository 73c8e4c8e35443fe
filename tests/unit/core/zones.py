"""Writes local_days.txt: days of several zones as Python's zoneinfo knows them, found by walking over
seconds, not by arithmetic with offsets. `python3 zones.py > data/local_days.txt`."""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

EPOCH = date(1970, 1, 1)
YEARS = {
    "Europe/Berlin": [2025, 2026], "Asia/Kolkata": [2026], "Asia/Kathmandu": [1985, 1986, 2026],
    "America/New_York": [2026], "America/Sao_Paulo": [2018, 2019], "Asia/Beirut": [2022, 2023],
    "Atlantic/Azores": [2026], "Australia/Lord_Howe": [2026], "Pacific/Apia": [2011, 2012],
    "Africa/Cairo": [2024], "America/Havana": [2026], "Pacific/Chatham": [2026],
    "America/St_Johns": [2010, 2011],
}


def local_date(zone, second):
    return datetime.fromtimestamp(second, timezone.utc).astimezone(zone).date()


def first_second(zone, day):
    """The first second whose local date is `day` or later. Clocks may fall back across midnight:
    then the date is reached twice, and the first time counts."""
    second = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()) - 15 * 3600
    while local_date(zone, second + 3 * 3600) < day:  # no clock falls back by 3 hours
        second += 1800
    while local_date(zone, second + 59) < day:  # clocks change on whole minutes
        second += 60
    while local_date(zone, second) < day:
        second += 1
    return second


def main():
    for name, years in YEARS.items():
        zone = ZoneInfo(name)
        days = []
        for year in years:
            day = date(year, 1, 1)
            while day.year == year:
                days.append(((day - EPOCH).days, first_second(zone, day),
                             first_second(zone, day + timedelta(days=1))))
                day += timedelta(days=1)
        odd = {number for number, start, end in days if end - start != 86_400}
        for number, start, end in days:
            near = any(number + step in odd for step in (-1, 0, 1))
            if end > start and (near or number % 9 == 0):  # a skipped day has no seconds
                print(name, number, start, end)


if __name__ == "__main__":
    main()
