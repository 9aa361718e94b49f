use std::fmt;

/// A key in an S3 event is not URL-encoded UTF-8. The message does not quote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnObjectKey;

/// Decodes an object's key as S3 writes it in event notifications: `+` is a space, `%xx` a byte of UTF-8.
///
/// See <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>.
///
/// ```
/// use bellflower_contract::decode_object_key;
///
/// assert_eq!(decode_object_key("inbound/caf%C3%A9+1%2B1.json").as_deref(), Ok("inbound/café 1+1.json"));
/// ```
///
/// # Errors
///
/// [`NotAnObjectKey`] for a `%` without two hexadecimal digits after it, or bytes that are not UTF-8. S3 sends neither.
pub fn decode_object_key(encoded: &str) -> Result<String, NotAnObjectKey> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = hex_digit(bytes.next())?;
                let low = hex_digit(bytes.next())?;
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| NotAnObjectKey)
}

fn hex_digit(byte: Option<u8>) -> Result<u8, NotAnObjectKey> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(NotAnObjectKey),
    }
}

impl fmt::Display for NotAnObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object key is not URL-encoded UTF-8")
    }
}

impl std::error::Error for NotAnObjectKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        let cases = [
            ("inbound/e-1/success.json", "inbound/e-1/success.json"),
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("a%20b", "a b"),
            ("100%25", "100%"),
            ("%2e%2E%2f", "../"),
            ("%E6%B3%A8%E6%96%87/%F0%9F%8C%B8", "注文/🌸"),
            ("注文", "注文"),
            ("", ""),
        ];
        for (encoded, key) in cases {
            assert_eq!(decode_object_key(encoded).as_deref(), Ok(key), "{encoded}");
        }
    }

    #[test]
    fn what_s3_never_sends_is_refused() {
        for encoded in ["%", "%2", "%zz", "a%+1", "%C3", "%ff%fe", "%é"] {
            assert_eq!(decode_object_key(encoded), Err(NotAnObjectKey), "{encoded}");
        }
    }
}
