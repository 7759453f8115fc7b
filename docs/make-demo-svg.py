#!/usr/bin/env python3
"""Draws docs/demo.svg: what a person sees who runs `agents demo`.

    docs/make-demo-svg.py [-o FILE] [--title TEXT] [--max-lines N] PROGRAM [ARGUMENT...]

Runs the program (with `demo` if no argument is given) in a pseudo-terminal of 100 columns and 40 rows, takes what it
prints and draws it as a terminal window. Needs Python 3 and nothing else. The picture is written only if the program
succeeds; it changes between runs only where the program's own words do (ids, times, ports).
"""

import argparse
import errno
import fcntl
import html
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
import unicodedata

COLUMNS, ROWS = 100, 40
TAB = 8

# Geometry, in pixels.
CELL_W, CELL_H, FONT = 8.4, 19, 14
MARGIN, BAR = 14, 34

BACKGROUND, FOREGROUND, TITLE_BAR, TITLE_TEXT = "#16181d", "#d8dee9", "#262a33", "#9aa3b2"
PALETTE = [
    "#4c566a", "#f07178", "#a3d977", "#ffcb6b", "#82aaff", "#c792ea", "#7fdbe8", "#d8dee9",
    "#7b8494", "#ff9aa2", "#c3f0a0", "#ffe0a3", "#a9c7ff", "#ddb6f2", "#a8edf5", "#ffffff",
]

SGR = re.compile(r"\x1b\[([0-9;:]*)m")
# Every other escape sequence moves a cursor or talks to the terminal; in a picture it has no place.
OTHER_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|\x1b[PX^_].*?\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b\[[0-?]*[ -/]*[@-ln-~]"  # CSI but for SGR
    r"|\x1b[()*+][0-9A-Za-z]"  # character sets
    r"|\x1b[^\[\]PX^_()*+]",
    re.DOTALL,
)


def capture(words, limit):
    """Runs the words in a pseudo-terminal; returns what they printed and their exit status."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AGENTS_", "HOUMAO_", "TMUX")) and name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    environment.update(TERM="xterm-256color", LANG="C.UTF-8", LC_ALL="C.UTF-8")
    child, terminal = pty.fork()
    if child == 0:
        try:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execvpe(words[0], words, environment)
        except OSError as error:
            sys.stderr.write(f"{words[0]}: {error.strerror}\n")
        os._exit(127)
    # Once more from this side: the child may have been slower than its first look at the size.
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    deadline = time.monotonic() + limit
    printed = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            sys.exit(f"`{' '.join(words)}` did not end within {limit} s")
        readable, _, _ = select.select([terminal], [], [], left)
        if not readable:
            continue
        try:
            chunk = os.read(terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says EIO when the last writer has gone
                raise
            chunk = b""
        if not chunk:
            break
        printed += chunk
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return printed.decode("utf-8", "replace"), os.waitstatus_to_exitcode(status)


def without_temporary_paths(text):
    """A temporary folder has another name on every run, and nobody needs to see it."""
    folders = {"/tmp", "/var/tmp", tempfile.gettempdir()}
    for folder in sorted(folders, key=len, reverse=True):
        text = re.sub(re.escape(folder) + r"/[A-Za-z0-9._-]+", "~", text)
    return text


class Style:
    """What SGR has set so far."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.bold = self.dim = self.italic = self.underline = self.inverse = False
        self.colour = self.ground = None

    def apply(self, parameters):
        codes = [int(code) if code else 0 for code in re.split("[;:]", parameters)] if parameters else [0]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.reset()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 3:
                self.italic = True
            elif code == 4:
                self.underline = True
            elif code == 7:
                self.inverse = True
            elif code == 22:
                self.bold = self.dim = False
            elif code == 23:
                self.italic = False
            elif code == 24:
                self.underline = False
            elif code == 27:
                self.inverse = False
            elif 30 <= code <= 37:
                self.colour = PALETTE[code - 30]
            elif 40 <= code <= 47:
                self.ground = PALETTE[code - 40]
            elif 90 <= code <= 97:
                self.colour = PALETTE[code - 82]
            elif 100 <= code <= 107:
                self.ground = PALETTE[code - 92]
            elif code == 39:
                self.colour = None
            elif code == 49:
                self.ground = None
            elif code in (38, 48):
                colour = self.extended(codes)
                if code == 38:
                    self.colour = colour
                else:
                    self.ground = colour

    @staticmethod
    def extended(codes):
        kind = codes.pop(0) if codes else 0
        if kind == 5 and codes:
            number = codes.pop(0)
            if number < 16:
                return PALETTE[number]
            if number >= 232:
                return "#{0:02x}{0:02x}{0:02x}".format(min(8 + (number - 232) * 10, 255))
            number -= 16
            levels = (0, 95, 135, 175, 215, 255)
            parts = (levels[number // 36 % 6], levels[number // 6 % 6], levels[number % 6])
            return "#{:02x}{:02x}{:02x}".format(*parts)
        if kind == 2 and len(codes) >= 3:
            parts, codes[:3] = codes[:3], []
            return "#{:02x}{:02x}{:02x}".format(*(min(part, 255) for part in parts))
        return None

    def key(self):
        colour, ground = self.colour, self.ground
        if self.inverse:
            colour, ground = ground or BACKGROUND, colour or FOREGROUND
        return (colour, ground, self.bold, self.dim, self.italic, self.underline)


def cell_width(character):
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def rows_of(text):
    """Rows of (column, text, width, style), wrapped as the terminal would."""
    style, rows, row, column = Style(), [], [], 0

    def put(character, width):
        nonlocal row, column
        if column + width > COLUMNS:
            rows.append(row)
            row, column = [], 0
        key = style.key()
        if row and row[-1][3] == key and row[-1][0] + row[-1][2] == column:
            start, run, length, _ = row[-1]
            row[-1] = (start, run + character, length + width, key)
        else:
            row.append((column, character, width, key))
        column += width

    position = 0
    while position < len(text):
        match = SGR.match(text, position)
        if match:
            style.apply(match.group(1))
            position = match.end()
            continue
        character = text[position]
        position += 1
        if character == "\n":
            rows.append(row)
            row, column = [], 0
        elif character == "\r":
            # A program that paints a line over again shows its last words.
            if text[position : position + 1] not in ("\n", "\r", ""):
                row = []
            column = 0 if text[position : position + 1] != "\n" else column
        elif character == "\t":
            for _ in range(TAB - column % TAB):
                put(" ", 1)
        elif unicodedata.category(character) != "Cc":
            put(character, cell_width(character))
    if row:
        rows.append(row)
    while rows and not any(run.strip() for _, run, _, _ in rows[-1]):
        rows.pop()
    while rows and not any(run.strip() for _, run, _, _ in rows[0]):
        rows.pop(0)
    return rows


def number(value):
    return f"{value:.1f}".removesuffix(".0")


def draw_run(column, run, width, style, baseline):
    colour, ground, bold, dim, italic, underline = style
    x = MARGIN + column * CELL_W
    parts = []
    if ground:
        parts.append(
            f'<rect x="{number(x)}" y="{number(baseline - FONT)}" width="{number(width * CELL_W)}" '
            f'height="{CELL_H}" fill="{ground}"/>'
        )
    if run.strip() or underline:
        attributes = [f'x="{number(x)}"', f'y="{number(baseline)}"', f'textLength="{number(width * CELL_W)}"']
        if colour:
            attributes.append(f'fill="{colour}"')
        elif bold:
            attributes.append('fill="#ffffff"')
        if bold:
            attributes.append('font-weight="bold"')
        if dim:
            attributes.append('opacity="0.65"')
        if italic:
            attributes.append('font-style="italic"')
        if underline:
            attributes.append('text-decoration="underline"')
        # Spaces would be folded by some viewers, even where they are told not to.
        words = html.escape(run, quote=False).replace(" ", "\u00a0")
        parts.append(f"<text {' '.join(attributes)}>{words}</text>")
    return parts


def draw(rows, title):
    width = MARGIN * 2 + COLUMNS * CELL_W
    height = BAR + MARGIN * 2 + max(len(rows), 1) * CELL_H
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width)}" height="{number(height)}" '
        f'viewBox="0 0 {number(width)} {number(height)}" role="img" aria-label="{html.escape(title)}">',
        f"<title>{html.escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        f'<path d="M0 {BAR}V8a8 8 0 0 1 8-8H{number(width - 8)}a8 8 0 0 1 8 8V{BAR}Z" fill="{TITLE_BAR}"/>',
    ]
    for index, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        lines.append(f'<circle cx="{20 + index * 20}" cy="{BAR // 2}" r="6" fill="{colour}"/>')
    family = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
    lines.append(
        f'<text x="{number(width / 2)}" y="{BAR // 2 + 5}" text-anchor="middle" font-family="{family}" '
        f'font-size="13" fill="{TITLE_TEXT}">{html.escape(title)}</text>'
    )
    lines.append(f'<g font-family="{family}" font-size="{FONT}" fill="{FOREGROUND}">')
    for index, row in enumerate(rows):
        baseline = BAR + MARGIN + index * CELL_H + FONT
        for column, run, length, style in row:
            lines.extend(draw_run(column, run, length, style, baseline))
    lines.append("</g>")
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def write(path, text):
    """Replaces the file in one step."""
    folder = os.path.dirname(os.path.abspath(path))
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".demo-", suffix=".svg")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "demo.svg")
    parser = argparse.ArgumentParser(description="Draws a terminal picture of what a program prints.")
    parser.add_argument("-o", "--output", default=default, metavar="FILE", help="the picture [default: docs/demo.svg]")
    parser.add_argument("--title", default="agents demo", help="words in the title bar")
    parser.add_argument("--max-lines", type=int, default=0, metavar="N", help="draw only the first N lines")
    parser.add_argument("--limit", type=float, default=120, metavar="SECONDS", help="longest time to wait")
    parser.add_argument("program", help="path of the program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments [default: demo]")
    words = parser.parse_args()
    text, status = capture([words.program, *(words.arguments or ["demo"])], words.limit)
    if status != 0:
        sys.stderr.write(text.replace("\r\n", "\n"))
        sys.exit(f"the program ended with status {status}; no picture was drawn")
    rows = rows_of(without_temporary_paths(OTHER_ESCAPES.sub("", text)))
    if not rows:
        sys.exit("the program printed nothing; no picture was drawn")
    cut = 0 < words.max_lines < len(rows)
    if cut:
        rows = rows[: words.max_lines] + [[(0, "…", 1, Style().key())]]
    write(words.output, draw(rows, words.title))
    print(f"{words.output}: {len(rows)} lines")


if __name__ == "__main__":
    main()
