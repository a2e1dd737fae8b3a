//! One corpus of names for every writer of files: what must be refused, and what only looks odd.
//!
//! For tests alone, here and in other crates (feature `corpus`). Each name comes from an incident
//! in a system of this kind, or from the rules of a file system.

/// Single components that are refused at every depth of a path.
const COMPONENTS: &[&str] = &[
    // Upwards and nowhere (Transmission CVE-2010-0012, go-ipfs CVE-2020-26279).
    "",
    ".",
    "..",
    "...",
    ". ",
    ".. ",
    " .",
    // Separators and drives of another system (LocalSend CVE-2025-27142).
    "\\",
    "..\\..\\x",
    "a\\b",
    "\\\\server\\share",
    "C:",
    "c:x",
    "C:\\x",
    "z:..",
    // Devices (cap-primitives CVE-2024-51756).
    "CON",
    "con",
    "Prn",
    "AUX",
    "nul",
    "NUL.txt",
    "nul.tar.gz",
    "CON .txt",
    "aux:",
    "COM0",
    "COM1",
    "com9.log",
    "LPT0",
    "lpt1",
    "LPT9.x",
    "COM¹",
    "com².txt",
    "LPT³",
    "CONIN$",
    "conout$",
    // Names that Windows shortens.
    "x.",
    "x ",
    "x..",
    "x. .",
    // Control characters (go-ipfs CVE-2020-26283).
    "\0",
    "a\0b",
    "a\nb",
    "a\rb",
    "\t",
    "\u{1b}[2J",
    "a\u{7f}",
    "a\u{85}b",
    "\u{9b}31m",
    // What reads differently from what it is.
    "\u{202e}gpj.exe",
    "a\u{202a}b",
    "\u{2066}x\u{2069}",
    "a\u{200e}b",
    "a\u{200f}b",
    "a\u{61c}b",
    "a\u{2028}b",
];

/// Whole paths that are refused besides.
const PATHS: &[&str] = &[
    "/",
    "/etc/passwd",
    "//host/share",
    "a/",
    "/a",
    "a//b",
    "./a",
    "a/./b",
    "a/..",
    "../a",
    "a/../../b",
    "../../../../../../etc/passwd",
    "..//a",
    "~",
    "~/.ssh/authorized_keys",
    "~root",
    "~root/x",
    "~+",
    "con/fig",
    "~-",
    "C:/Windows/win.ini",
    "a/C:/b",
    "\\\\?\\C:\\x",
];

/// Odd, and allowed.
const AWKWARD: &[&str] = &[
    "a",
    "-rf",
    "--help",
    " leading",
    "a b",
    "..a",
    "..a..b",
    ".hidden",
    ".git/config",
    "a/.hidden/b",
    "~$report.docx",
    "a/~b",
    "a~",
    "CONSOLE",
    "COM",
    "COM10",
    "LPT",
    "lpt10.txt",
    "null",
    "auxiliary",
    "com1x",
    "1:2",
    "12:30 notes",
    "$HOME",
    "$(reboot)",
    "`id`",
    "a;b",
    "a|b",
    "a*b?",
    "<script>alert(1)</script>",
    "%2e%2e",
    "%00",
    "'\"",
    "日本語",
    "żółć",
    "👩‍👩‍👧",
    "e\u{301}",
    "é",
    "README",
    "readme",
    "config",
];

/// Bytes that a local file system may have as a name, and that are no text.
pub const NOT_TEXT: &[&[u8]] = &[
    b"\xff",
    b"a\xc3",
    b"\xed\xa0\x80",
    b"\xc0\xae\xc0\xae",
    b"latin-\xe9",
];

/// Names of one component that must be refused.
#[must_use]
pub fn components() -> Vec<String> {
    let long = [256, 1000, 100_000].map(|bytes| "x".repeat(bytes));
    let wide = "é".repeat(128);
    COMPONENTS
        .iter()
        .map(ToString::to_string)
        .chain(long)
        .chain([wide])
        .collect()
}

/// Paths that must be refused: those of one component at every depth, and whole ones.
#[must_use]
pub fn paths() -> Vec<String> {
    let mut out: Vec<String> = PATHS.iter().map(ToString::to_string).collect();
    for bad in components() {
        out.extend([format!("{bad}/x"), format!("x/{bad}"), format!("x/y/{bad}/z")]);
        out.push(bad);
    }
    out.push("x/".repeat(2048) + "xx");
    out.push("../".repeat(1_000_000));
    out
}

/// Paths that are allowed and that every writer must get right.
#[must_use]
pub fn awkward() -> Vec<String> {
    let mut out: Vec<String> = AWKWARD.iter().map(ToString::to_string).collect();
    out.push("x".repeat(255));
    out.push("é".repeat(127) + "x");
    out.push("x/".repeat(2047) + "xx");
    out
}
