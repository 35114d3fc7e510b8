//! Dates as Java's `Date` prints them, always in UTC.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_SECONDS: i64 = 86_400;

/// `Wed Nov 25 11:05:45 UTC 2026`.
pub(super) fn java_date(time_ms: i64) -> String {
    let seconds = time_ms.div_euclid(1000);
    let (day, second) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    let (year, month, day_of_month) = civil(day);
    format!(
        "{} {} {day_of_month:02} {:02}:{:02}:{:02} UTC {year}",
        DAYS[day.rem_euclid(7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

/// Days since 1970 to year, month from 0, day from 1, by 400-year eras that begin on 1 March.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    (year_of_era + era * 400 + i64::from(month < 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::java_date;

    #[test]
    fn dates() {
        // `date -u -d @SECONDS` on the left.
        let cases = [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_795_604_745_999, "Wed Nov 25 11:05:45 UTC 2026"),
            (1_709_164_800_000, "Thu Feb 29 00:00:00 UTC 2024"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ];
        for (time_ms, expected) in cases {
            assert_eq!(java_date(time_ms), expected);
        }
    }
}
