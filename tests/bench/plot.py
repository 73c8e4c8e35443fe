"""Line plots below each other as one SVG file, without any library."""

from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, PANEL_HEIGHT = 900, 300
LEFT, RIGHT, TOP, BOTTOM = 80, 30, 50, 55  # of a panel, outside its axes
COLOURS = ("#1f5fa8", "#c4501b", "#2c8a4b", "#7a4fa3", "#8a6d1f", "#555555")


class Line(NamedTuple):
    label: str
    points: list  # of (x, y)
    dashed: bool = False


class Panel(NamedTuple):
    title: str
    x_label: str
    lines: list


def ticks(highest, wanted=6):
    """Round numbers from 0 on; the last is not below `highest`."""
    rough = max(highest, 1e-9) / wanted
    power = 1.0
    while power > rough:
        power /= 10
    while power * 10 <= rough:
        power *= 10
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    count = 1
    while count * step < highest * (1 - 1e-9):
        count += 1
    return [step * i for i in range(count + 1)]


def text(x, y, words, anchor="middle", size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'


def axes(panel, top, xs, ys, to_x, to_y):
    out = [text(LEFT, top + 20, panel.title, "start", 15)]
    for value in ys:
        out.append(f'<path d="M{LEFT} {to_y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(text(LEFT - 8, to_y(value) + 4, f"{value:,.6g}", "end"))
    for value in xs:
        out.append(f'<path d="M{to_x(value):.1f} {to_y(0):.1f}v5" stroke="#333"/>')
        out.append(text(to_x(value), to_y(0) + 19, f"{value:,.6g}"))
    out.append(f'<path d="M{LEFT} {to_y(0):.1f}H{WIDTH - RIGHT}" stroke="#333"/>')
    out.append(text((LEFT + WIDTH - RIGHT) / 2, to_y(0) + 38, panel.x_label))
    return out


def draw(panel, top):
    points = [point for line in panel.lines for point in line.points]
    xs = ticks(max((x for x, _ in points), default=1))
    ys = ticks(max((y for _, y in points), default=1))

    def to_x(value):
        return LEFT + value / xs[-1] * (WIDTH - LEFT - RIGHT)

    def to_y(value):
        return top + PANEL_HEIGHT - BOTTOM - value / ys[-1] * (PANEL_HEIGHT - TOP - BOTTOM)
    out = axes(panel, top, xs, ys, to_x, to_y)
    place = WIDTH - RIGHT
    for number, line in enumerate(panel.lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in line.points)
        dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>')
    for number, line in reversed(list(enumerate(panel.lines))):
        words = 7 * len(line.label)
        out.append(text(place, top + 40, line.label, "end"))
        out.append(f'<path d="M{place - words - 22} {top + 36}h16" stroke="{COLOURS[number % len(COLOURS)]}" '
                   'stroke-width="3"/>')
        place -= words + 40
    return out


def write_svg(path, panels):
    height = PANEL_HEIGHT * len(panels)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
           f'height="{height}" font-family="sans-serif"><rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for number, panel in enumerate(panels):
        out += draw(panel, number * PANEL_HEIGHT)
    out.append("</svg>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
