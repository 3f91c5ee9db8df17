//! Fault rules: which calls the daemon delays or fails on purpose, how, and how often.
//!
//! A flag, a variable, the file and the admin port take the same rules. The admin port also takes them on
//! lines, and the seed among them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use greet_flags::values::{duration, number, text, timeout};
use greet_flags::variables::nearest;
use greet_proto::status::{self, code_from_name, code_name};
use tonic::Code;

/// The form of a rule, for errors.
const FORM: &str = "[METHOD:]FAULT[@PERCENT]";
const KINDS: [&str; 4] = ["delay", "status", "reset", "goaway"];
/// The start of the item of a list that sets the seed.
const SEED: &str = "seed=";

/// The rules, and the seed of the random numbers that they draw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultConfig {
    /// The rules in their order.
    pub rules: Vec<FaultRule>,
    /// The seed of a run that can be repeated; `None` for a random one.
    pub seed: Option<u32>,
}

/// A rule, parsed from `[METHOD:]FAULT[@PERCENT]`, such as `greet.Greeter/SayHello:delay=50ms@10%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// The method that the rule hits: `package.Service/Method`, or a unique end of it. `None` for every
    /// method except those of health and reflection.
    pub(crate) method: Option<String>,
    pub(crate) fault: Fault,
    /// The part of the calls that is hit.
    chance: Chance,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call waits for a time that is drawn uniformly from a range, which is not empty.
    Delay { min: Duration, max: Duration },
    /// The call fails with this code.
    Status(Code),
    /// The stream of the call is reset.
    Reset,
    /// The connection of the call gets a GOAWAY, as at its maximum age; the call finishes.
    Goaway,
}

/// A probability above zero, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chance(u32);

impl FaultRule {
    /// Returns whether the next of the `random` numbers lets the rule hit.
    pub(crate) fn is_drawn(&self, random: &mut fastrand::Rng) -> bool {
        random.u32(0..Chance::ALWAYS.0) < self.chance.0
    }
}

impl FromStr for FaultConfig {
    type Err = String;

    /// Parses what [`FaultConfig`] displays: rules and `seed=N`, each on a line or after a comma.
    fn from_str(given: &str) -> Result<FaultConfig, String> {
        let mut config = FaultConfig::default();
        for item in given.split(['\n', ',']).map(str::trim).filter(|item| !item.is_empty()) {
            match item.strip_prefix(SEED) {
                Some(seed) => config.seed = Some(parse_seed(seed)?),
                None => config.rules.push(item.parse()?),
            }
        }
        Ok(config)
    }
}

impl fmt::Display for FaultConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seed.iter().try_for_each(|seed| writeln!(f, "{SEED}{seed}"))?;
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

/// Parses a seed, which is short enough to type.
pub(super) fn parse_seed(given: &str) -> Result<u32, String> {
    number(0..=u32::MAX)(given)
}

impl FromStr for FaultRule {
    type Err = String;

    fn from_str(given: &str) -> Result<FaultRule, String> {
        let given = given.trim();
        parse_rule(given).map_err(|problem| format!("{given:?}: {problem}"))
    }
}

fn parse_rule(given: &str) -> Result<FaultRule, String> {
    if given.starts_with(SEED) {
        return Err("use --fault-seed".to_owned());
    }
    let (method, rest) = match given.split_once(':') {
        Some(("", _)) => return Err("no method before the colon".to_owned()),
        Some((method, rest)) => (Some(method.to_owned()), rest),
        None => (None, given),
    };
    let (fault, chance) = match rest.split_once('@') {
        Some((fault, percent)) => (fault, percent.parse()?),
        None => (rest, Chance::ALWAYS),
    };
    Ok(FaultRule { method, fault: fault.parse()?, chance })
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.method.iter().try_for_each(|method| write!(f, "{method}:"))?;
        write!(f, "{}", self.fault)?;
        if self.chance == Chance::ALWAYS { Ok(()) } else { write!(f, "@{}", self.chance) }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(given: &str) -> Result<Fault, String> {
        match given.split_once('=') {
            Some(("delay", range)) => match range.split_once("..") {
                Some((min, max)) => delay(duration(min)?, timeout(max)?),
                None => timeout(range).map(|delay| Fault::Delay { min: delay, max: delay }),
            },
            Some(("status", name)) => code(name).map(Fault::Status),
            None if given == "reset" => Ok(Fault::Reset),
            None if given == "goaway" => Ok(Fault::Goaway),
            _ => {
                let kind = given.split('=').next().unwrap_or_default();
                let similar = nearest(kind, KINDS.into_iter()).filter(|similar| *similar != kind);
                Err(match similar {
                    Some(kind) => format!("expected {FORM}; did you mean {kind}?"),
                    None => {
                        format!("expected {FORM}; FAULT is delay=DUR, status=CODE, reset or goaway")
                    }
                })
            }
        }
    }
}

fn delay(min: Duration, max: Duration) -> Result<Fault, String> {
    if min > max {
        return Err(format!("{} is above {}", text(min), text(max)));
    }
    Ok(Fault::Delay { min, max })
}

fn code(name: &str) -> Result<Code, String> {
    let code = code_from_name(name).filter(|code| *code != Code::Ok);
    code.ok_or_else(|| {
        let names = (1..status::COUNT as i32).map(|code| code_name(Code::from_i32(code)));
        let similar = nearest(&name.to_uppercase(), names);
        match similar {
            Some(similar) => format!("{name:?} is not a failed status; did you mean {similar}?"),
            None => format!("{name:?} is not a failed status such as UNAVAILABLE"),
        }
    })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Delay { min, max } if min == max => write!(f, "delay={}", text(min)),
            Fault::Delay { min, max } => write!(f, "delay={}..{}", text(min), text(max)),
            Fault::Status(code) => write!(f, "status={}", code_name(code)),
            Fault::Reset => write!(f, "reset"),
            Fault::Goaway => write!(f, "goaway"),
        }
    }
}

impl Chance {
    /// Every call.
    const ALWAYS: Chance = Chance(1_000_000);

    const MILLIONTHS_PER_PERCENT: f64 = 1e4;
}

impl FromStr for Chance {
    type Err = String;

    fn from_str(given: &str) -> Result<Chance, String> {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let parsed = |text: &str| text.parse::<f64>().ok().filter(|_| is_number(text));
        match given.strip_suffix('%').map(parsed) {
            Some(Some(percent)) => {
                let millionths = (percent * Chance::MILLIONTHS_PER_PERCENT).round() as u32;
                let is_valid = (1..=Chance::ALWAYS.0).contains(&millionths);
                is_valid
                    .then_some(Chance(millionths))
                    .ok_or_else(|| format!("{given} is not between 0.0001% and 100%"))
            }
            None if parsed(given).is_some_and(|percent| percent > 0.0) => {
                Err(format!("{given} has no unit; did you mean {given}%?"))
            }
            _ => Err(format!("{given:?} is not a percentage such as 10% or 0.1%")),
        }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / Chance::MILLIONTHS_PER_PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_prints_as_it_is_written() {
        for rule in [
            "delay=50ms@10%",
            "delay=20ms..200ms",
            "delay=0s..1m 30s",
            "status=UNAVAILABLE@1%",
            "reset@0.1%",
            "goaway@0.0001%",
            "greet.Greeter/SayHello:reset@99.9999%",
            "SayHello:status=DATA_LOSS",
        ] {
            assert_eq!(rule.parse::<FaultRule>().unwrap().to_string(), rule);
        }
        assert_eq!("reset@100%".parse::<FaultRule>().unwrap().to_string(), "reset");
        assert_eq!("delay=5s..5s".parse::<FaultRule>().unwrap().to_string(), "delay=5s");
        assert_eq!(" reset@1%\n".parse::<FaultRule>().unwrap().to_string(), "reset@1%");
    }

    #[test]
    fn list_has_rules_and_a_seed_on_lines_or_after_commas() {
        let config: FaultConfig = " reset@1%,seed=7\n\ngoaway\n".parse().unwrap();
        assert_eq!(config.to_string(), "seed=7\nreset@1%\ngoaway\n");
        assert_eq!("".parse(), Ok(FaultConfig::default()));
        assert_eq!("seed=4294967295".parse::<FaultConfig>().unwrap().seed, Some(u32::MAX));
        let above = "seed=4294967296".parse::<FaultConfig>().unwrap_err();
        assert_eq!(above, "4294967296 is not between 0 and 4294967295");
    }

    #[test]
    fn invalid_rule_is_rejected_with_the_reason_or_the_form() {
        let form = "expected [METHOD:]FAULT[@PERCENT]";
        let faults = &format!("{form}; FAULT is delay=DUR, status=CODE, reset or goaway");
        let delay = &format!("{form}; did you mean delay?");
        for (rule, expected) in [
            ("", faults.as_str()),
            ("delay", faults),
            ("SayHello", faults),
            ("SayHello=reset", faults),
            ("dely=5ms", delay),
            ("SayHello:dely=5ms@10%", delay),
            (":reset", "no method before the colon"),
            ("seed=7", "use --fault-seed"),
            ("delay=5", "5 has no unit; did you mean 5s?"),
            ("delay=0s", "0s is not above zero"),
            ("delay=2s..1s", "2s is above 1s"),
            ("delay=0s..0s", "0s is not above zero"),
            ("delay=1h..", "\"\" is not a duration such as 250ms, 5s or 1m"),
            (
                "status=unavailable",
                "\"unavailable\" is not a failed status; did you mean UNAVAILABLE?",
            ),
            ("status=14", "\"14\" is not a failed status such as UNAVAILABLE"),
            ("reset@10", "10 has no unit; did you mean 10%?"),
            ("reset@0%", "0% is not between 0.0001% and 100%"),
            ("reset@0.00004%", "0.00004% is not between 0.0001% and 100%"),
            ("reset@100.0001%", "100.0001% is not between 0.0001% and 100%"),
            ("reset@1e1%", "\"1e1%\" is not a percentage such as 10% or 0.1%"),
            ("reset@%", "\"%\" is not a percentage such as 10% or 0.1%"),
        ] {
            let error = rule.parse::<FaultRule>().unwrap_err();
            assert_eq!(error, format!("{rule:?}: {expected}"));
        }
        assert!("status=OK".parse::<FaultRule>().is_err());
    }

    #[test]
    fn rule_hits_its_part_of_the_calls() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut hits = |rule: &str| {
            let rule: FaultRule = rule.parse().unwrap();
            (0..10_000).filter(|_| rule.is_drawn(&mut random)).count()
        };
        assert_eq!(hits("reset"), 10_000);
        assert!((800..1_200).contains(&hits("reset@10%")));
        assert!((50..150).contains(&hits("reset@1%")));
    }
}
