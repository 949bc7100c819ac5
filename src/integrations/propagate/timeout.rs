//! Timeouts as text: `grpc-timeout` and `X-Timeout-MS`. Always rounded down, so that a callee never has longer than its caller.

use super::error::ExtractError;
use std::time::Duration;

pub(super) const GRPC_TIMEOUT: &str = "grpc-timeout";
pub(super) const X_TIMEOUT_MS: &str = "x-timeout-ms";

const MOST: u128 = 99_999_999;

/// Units of `grpc-timeout`, the finest first, each with its nanoseconds.
const UNITS: [(char, u128); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

/// A timeout as `grpc-timeout` has it: in the finest unit in which it fits eight digits, rounded down. Beyond the eleven
/// thousand years that those hold, it is that. Allocates.
///
/// Source: gRPC over HTTP/2, `Timeout → "grpc-timeout" TimeoutValue TimeoutUnit`.
///
/// ```
/// use ripcord::propagate::encode_grpc_timeout;
/// use std::time::Duration;
///
/// assert_eq!(encode_grpc_timeout(Duration::from_nanos(99_999_999)), "99999999n");
/// assert_eq!(encode_grpc_timeout(Duration::from_nanos(100_000_999)), "100000u");
/// assert_eq!(encode_grpc_timeout(Duration::MAX), "99999999H");
/// ```
#[must_use]
pub fn encode_grpc_timeout(left: Duration) -> String {
    let nanos = left.as_nanos();
    let (unit, length) = UNITS
        .into_iter()
        .find(|(_, length)| nanos / length <= MOST)
        .unwrap_or(UNITS[UNITS.len() - 1]);
    format!("{}{unit}", (nanos / length).min(MOST))
}

/// What a `grpc-timeout` says: one to eight ASCII digits and one of `H`, `M`, `S`, `m`, `u`, `n`, and nothing else. Zero,
/// which the specification does not allow and some peers send, is no time at all. Wait-free; allocates nothing.
///
/// # Errors
///
/// [`ExtractError::Malformed`]: a sign, a ninth digit, no digit, another unit.
///
/// ```
/// use ripcord::propagate::decode_grpc_timeout;
/// use std::time::Duration;
///
/// assert_eq!(decode_grpc_timeout("100m"), Ok(Duration::from_millis(100)));
/// assert!(decode_grpc_timeout("123456789n").is_err());
/// ```
pub fn decode_grpc_timeout(text: &str) -> Result<Duration, ExtractError> {
    grpc(text).ok_or(ExtractError::Malformed {
        header: GRPC_TIMEOUT,
        expected: "1 to 8 digits and one of H, M, S, m, u, n",
    })
}

fn grpc(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.len() > 8 {
        return None;
    }
    let number = whole(digits)?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3_600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A timeout in whole milliseconds, rounded down, as `X-Timeout-MS` has it. Allocates.
///
/// ```
/// use ripcord::propagate::encode_timeout_ms;
/// use std::time::Duration;
///
/// assert_eq!(encode_timeout_ms(Duration::from_micros(2_999)), "2");
/// ```
#[must_use]
pub fn encode_timeout_ms(left: Duration) -> String {
    left.as_millis().min(u128::from(u64::MAX)).to_string()
}

/// What an `X-Timeout-MS` says: digits, and nothing else. Zero is no time at all. Wait-free; allocates nothing.
///
/// # Errors
///
/// [`ExtractError::Malformed`]: a sign, a character that is no ASCII digit, a number beyond 64 bits.
///
/// ```
/// use ripcord::propagate::decode_timeout_ms;
/// use std::time::Duration;
///
/// assert_eq!(decode_timeout_ms("250"), Ok(Duration::from_millis(250)));
/// assert!(decode_timeout_ms("-1").is_err());
/// ```
pub fn decode_timeout_ms(text: &str) -> Result<Duration, ExtractError> {
    whole(text)
        .map(Duration::from_millis)
        .ok_or(ExtractError::Malformed {
            header: X_TIMEOUT_MS,
            expected: "a whole number of milliseconds from 0 to 18446744073709551615",
        })
}

/// `parse` alone would take a sign.
fn whole(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}
