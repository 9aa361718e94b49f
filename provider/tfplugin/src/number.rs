//! Decimal numbers of any size.

use std::fmt;
use std::str::FromStr;

/// A decimal number without limits on its size or precision, which is what a number is in
/// Terraform.
///
/// Equal numbers are equal however they were written: `1`, `1.0` and `10e-1` are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// Significant digits without zeros at either end; empty for zero.
    digits: String,
    /// The value is `0.digits` times ten to this power.
    exponent: i64,
}

/// A text that is not a decimal number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number")]
pub struct ParseNumberError;

/// Beyond this many zeros a number is shown with an exponent.
const PLAIN_ZEROS: i64 = 40;

/// No number that a person means has a larger exponent, and sums of exponents stay far from
/// overflow.
const LARGEST_EXPONENT: u64 = 1_000_000_000;

impl Number {
    fn zero() -> Self {
        Self {
            negative: false,
            digits: String::new(),
            exponent: 0,
        }
    }

    /// The number as an integer, if it is one and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let length = i64::try_from(self.digits.len()).ok()?;
        if self.exponent < length || self.exponent > 19 {
            return None;
        }
        self.to_string().parse().ok()
    }

    /// The number as an unsigned integer, if it is one and fits.
    pub(crate) fn as_u64(&self) -> Option<u64> {
        let length = i64::try_from(self.digits.len()).ok()?;
        if !(length..=20).contains(&self.exponent) {
            return None;
        }
        self.to_string().parse().ok()
    }

    /// The nearest floating point number; infinite where the number is too large for one.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        // Rust reads every text that `Display` writes.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The value of a float to its last digit, where [`From<f64>`] takes the shortest decimal that
    /// means the same float.
    pub(crate) fn from_exact_f64(float: f64) -> Option<Self> {
        // No double has more than 1,074 digits after the point.
        float
            .is_finite()
            .then(|| format!("{float:.1074}").parse().ok())?
    }
}

impl FromStr for Number {
    type Err = ParseNumberError;

    /// Reads an optional sign, digits with an optional point, and an optional exponent.
    fn from_str(text: &str) -> Result<Self, ParseNumberError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, power) = match rest.find(['e', 'E']) {
            Some(at) => (
                &rest[..at],
                rest[at + 1..]
                    .parse::<i64>()
                    .map_err(|_| ParseNumberError)?,
            ),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction)
        {
            return Err(ParseNumberError);
        }
        if power.unsigned_abs() > 2 * LARGEST_EXPONENT {
            return Err(ParseNumberError);
        }

        let joined = format!("{whole}{fraction}");
        let significant = joined.trim_start_matches('0');
        let dropped = joined.len() - significant.len();
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Ok(Self::zero());
        }
        let point = i64::try_from(whole.len()).map_err(|_| ParseNumberError)?;
        let dropped = i64::try_from(dropped).map_err(|_| ParseNumberError)?;
        let exponent = point - dropped + power;
        // As it is written, with one digit before the point.
        if (exponent - 1).unsigned_abs() > LARGEST_EXPONENT {
            return Err(ParseNumberError);
        }
        Ok(Self {
            negative,
            digits: digits.to_owned(),
            exponent,
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits.as_str();
        if digits.is_empty() {
            return formatter.write_str("0");
        }
        let length = i64::try_from(digits.len()).map_err(|_| fmt::Error)?;
        let sign = if self.negative { "-" } else { "" };
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
        match self.exponent {
            exponent if exponent >= length && exponent - length <= PLAIN_ZEROS => {
                write!(formatter, "{sign}{digits}{}", zeros(exponent - length))
            }
            exponent if exponent > 0 && exponent < length => {
                let at = usize::try_from(exponent).map_err(|_| fmt::Error)?;
                write!(formatter, "{sign}{}.{}", &digits[..at], &digits[at..])
            }
            exponent if exponent <= 0 && -exponent <= PLAIN_ZEROS => {
                write!(formatter, "{sign}0.{}{digits}", zeros(-exponent))
            }
            exponent => {
                let (first, rest) = digits.split_at(1);
                let point = if rest.is_empty() { "" } else { "." };
                write!(formatter, "{sign}{first}{point}{rest}e{}", exponent - 1)
            }
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        number.to_string().parse().unwrap_or_else(|_| Self::zero())
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        number.to_string().parse().unwrap_or_else(|_| Self::zero())
    }
}

impl From<f64> for Number {
    /// The shortest decimal that means this float, so that `0.1` is the same as `0.1` in a
    /// configuration. Infinities become the largest float, and what is not a number becomes zero.
    fn from(number: f64) -> Self {
        if number.is_nan() {
            return Self::zero();
        }
        let finite = number.clamp(f64::MIN, f64::MAX);
        format!("{finite:e}")
            .parse()
            .unwrap_or_else(|_| Self::zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        for same in ["1", "1.0", "+1", "01", "10e-1", "0.1E1", "1.", "1e0"] {
            assert_eq!(number(same), Number::from(1_i64), "{same}");
        }
        for same in ["0", "-0", "0.000", "0e50", ".0"] {
            assert_eq!(number(same), Number::from(0_i64), "{same}");
        }
        assert_eq!(number("0.1"), Number::from(0.1));
        assert_ne!(number("1"), number("-1"));
        assert_ne!(number("0.1"), Number::from_exact_f64(0.1).unwrap());
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for text in [
            "0",
            "7",
            "-7",
            "700",
            "0.5",
            "-0.05",
            "12.25",
            "123456789012345678901234567890.000000000000000000001",
            "1e100",
            "1.5e-90",
        ] {
            assert_eq!(number(text).to_string(), text);
        }
    }

    #[test]
    fn no_exponent_makes_a_long_text() {
        assert!(number("1e999999999").to_string().len() < 20);
        assert!(number("1e-999999999").to_string().len() < 20);
    }

    #[test]
    fn integers_come_out_where_they_fit() {
        for integer in [0, 1, -1, 120, i64::MAX, i64::MIN] {
            assert_eq!(Number::from(integer).as_i64(), Some(integer));
        }
        assert_eq!(Number::from(u64::MAX).as_i64(), None);
        assert_eq!(Number::from(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(number("-1").as_u64(), None);
        assert_eq!(number("0.5").as_i64(), None);
        assert_eq!(number("1.5").as_i64(), None);
        assert_eq!(number("1e30").as_i64(), None);
        assert_eq!(number("9223372036854775808").as_i64(), None);
        assert_eq!(number("-9223372036854775809").as_i64(), None);
    }

    #[test]
    #[allow(clippy::float_cmp)] // Exact equality is what is promised.
    fn floats_go_in_and_out() {
        for float in [
            0.0,
            0.1,
            -2.5,
            1e21,
            1e-7,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
        ] {
            assert_eq!(Number::from(float).as_f64(), float);
            assert_eq!(Number::from_exact_f64(float).unwrap().as_f64(), float);
        }
        assert_eq!(Number::from(f64::NAN), Number::from(0_i64));
        assert_eq!(Number::from(f64::INFINITY).as_f64(), f64::MAX);
        assert_eq!(number("1e999").as_f64(), f64::INFINITY);
        assert_eq!(Number::from_exact_f64(f64::INFINITY), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e-9223372036854775808",
            "1e1e1",
            "0x10",
            "1 ",
            "1,5",
            "inf",
            "NaN",
            "--1",
            "1.2.3",
            "1e9999999999999",
            "١",
        ] {
            assert_eq!(text.parse::<Number>(), Err(ParseNumberError), "{text:?}");
        }
    }
}
