//! Sizes as people write them: `4096`, `64K`, `1.5GiB`, `0x1000`.

/// The units that may follow a number. `K`, `KiB` and their like count in 1024s, `KB` and its like in 1000s.
const UNITS: [(&str, u64); 17] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("p", 1 << 50),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
];

/// Digits behind the point that count: more would be less than a byte of anything that exists.
const PLACES: usize = 9;

/// Reads a size in bytes.
///
/// # Errors
/// A sentence that says what was not understood.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(&digits.replace('_', ""), 16)
            .map_err(|_| format!("`{text}` is not a hexadecimal number of bytes"));
    }
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.' || letter == '_';
    let end = text.find(|letter| !is_number(letter)).unwrap_or(text.len());
    let unit = text[end..].trim().to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let bytes = factor.and_then(|factor| times(&text[..end].replace('_', ""), factor));
    bytes.ok_or_else(|| {
        format!("`{text}` is not a size below 16 EiB; write it like 4096, 64K, 1.5GiB or 0x1000")
    })
}

/// A decimal number times a unit, rounded down to whole bytes.
fn times(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let fraction: String = fraction.chars().chain("000000000".chars()).take(PLACES).collect();
    let billionths: u128 = fraction.parse().ok()?;
    let part = u64::try_from(billionths * u128::from(factor) / 1_000_000_000).ok()?;
    whole.checked_mul(factor)?.checked_add(part)
}

/// Reads a rate: a size, with or without `/s` behind it.
///
/// # Errors
/// As [`parse`], and where the rate is 0.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    match parse(text.strip_suffix("/s").unwrap_or(text))? {
        0 => Err("at 0 bytes a second nothing would ever be done".to_owned()),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_count_in_1024s_and_in_1000s() {
        let cases = [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65_536),
            ("64kib", 65_536),
            ("64kB", 64_000),
            ("1 GiB", 1 << 30),
            ("1.5G", 3 << 29),
            ("0.000000001G", 1),
            ("1_000", 1000),
            ("0x1000", 4096),
            ("0xffff_ffff", 0xffff_ffff),
            ("16777215T", 16_777_215 << 40),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "K", "1X", "1.2.3", "-1", "16777216T", "1e9", "0x", "0xg", "1K1"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("`{text}` is not a")), "{error}");
        }
    }

    #[test]
    fn a_rate_is_never_zero() {
        assert_eq!(parse_rate("200M/s"), Ok(200 << 20));
        assert_eq!(parse_rate("1"), Ok(1));
        assert!(parse_rate("0").is_err());
    }
}
