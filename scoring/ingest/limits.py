"""Every bound of ingest, each with its reason. Never put a limit anywhere else in `scoring/ingest`.

Reaching a limit is a normal event: the file is refused with the code `too_large`, nothing is cut off.
"""

BYTES_MAX = 20 * 1024 * 1024
"""A statement file: five years of a busy shop's wallet in CSV is under 10 MiB."""
ROWS_MAX = 100_000
"""Rows of one statement: 270 movements a day for a year."""
MEETING_ROWS_MAX = 1_000
"""Rows of the day on which a second statement begins that only the first may have."""
LINES_MAX = 300_000
"""Lines of a text table, preamble and notes included."""
CELL_CHARS_MAX = 20_000
"""One cell: a longer one is an unclosed quote, not a text."""
CELL_BREAKS_MAX = 10
"""Line breaks inside one cell; more mean that a quote was never closed."""
HEADER_LINE_MAX = 60
"""How far down the header of a table is looked for (Alipay has it at line 25)."""
COLUMNS_MAX = 100
"""Columns of a table."""
NODES_MAX = 2_000_000
"""Elements of an XML or OFX document."""
DEPTH_MAX = 64
"""Nesting of XML, OFX and JSON; real statements stay under 20."""
UNZIPPED_BYTES_MAX = 100 * 1024 * 1024
"""All parts of a workbook unpacked; a zip bomb reaches this first."""
ZIP_ENTRIES_MAX = 500
"""Parts of a workbook."""
SHEET_CELLS_MAX = 4_000_000
"""Rows times columns of a sheet, since the reader lays a sparse sheet out densely."""
MINOR_UNITS_MAX = 2**53 - 1
"""The largest amount: browsers must agree on it (architecture, rule 6)."""
WARNING_ROWS_MAX = 10
"""How many row numbers a warning's sentence lists."""
YEAR_MIN = 1990
YEAR_MAX = 2099
"""Years outside are a broken date, not an old statement."""
