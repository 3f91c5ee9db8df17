//! Searches the highest rate at which a run passes, among numbered rates: upwards by doubling, so
//! that the load is never far above what the server sustains, then by bisection.

/// Maximum runs. Bisection needs about 20 of them at most; the others are steps down from rates that pass
/// once and then fail.
const MAX_RUNS: u32 = 40;
/// The number of runs that have to pass at the result: by chance one passes near the limit.
const REQUIRED_PASSES: u32 = 2;

/// The state of the search. Rates above one that failed are not tried again.
#[derive(Debug)]
pub(super) struct Search {
    /// The number of the highest rate.
    last: u32,
    /// The highest rate that passed, and how often.
    passed: Option<(u32, u32)>,
    /// The lowest rate that failed.
    failed: Option<u32>,
    runs: u32,
}

impl Search {
    pub(super) fn new(last: u32) -> Search {
        Search { last, passed: None, failed: None, runs: 0 }
    }

    /// Returns the number of the rate of the next run, or `None` at the end.
    pub(super) fn next(&self) -> Option<u32> {
        if self.is_confirmed() || self.runs == MAX_RUNS {
            return None;
        }
        match (self.passed, self.failed) {
            (None, None) => Some(0),
            (None, Some(failed)) => failed.checked_sub(1),
            (Some((passed, _)), None) => Some((passed * 2).max(passed + 1).min(self.last)),
            (Some((passed, _)), Some(failed)) => Some(passed.midpoint(failed)),
        }
    }

    /// Records the run at the rate with this number.
    pub(super) fn record(&mut self, rate: u32, has_passed: bool) {
        self.runs += 1;
        if has_passed {
            let before = self.passed.filter(|(passed, _)| *passed == rate);
            self.passed = Some((rate, before.map_or(0, |(_, passes)| passes) + 1));
        } else {
            self.failed = Some(rate);
            self.passed = self.passed.filter(|(passed, _)| *passed < rate);
        }
    }

    /// Counts a run without a result, which is to be repeated.
    pub(super) fn ignore_run(&mut self) {
        self.runs += 1;
    }

    /// Returns the highest rate that passed, with none between it and one that failed.
    pub(super) fn found(&self) -> Option<u32> {
        self.passed.map(|(passed, _)| passed)
    }

    /// Returns whether the rate passed in enough runs and no higher one does.
    pub(super) fn is_confirmed(&self) -> bool {
        self.passed.is_some_and(|(passed, passes)| {
            let next = self.failed.unwrap_or(self.last + 1);
            passes >= REQUIRED_PASSES && passed + 1 == next
        })
    }

    pub(super) fn runs(&self) -> u32 {
        self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches with a function that returns whether a run passes, and returns the rates.
    fn search(last: u32, mut passes: impl FnMut(u32) -> bool) -> (Search, Vec<u32>) {
        let (mut search, mut rates) = (Search::new(last), Vec::new());
        while let Some(rate) = search.next() {
            rates.push(rate);
            search.record(rate, passes(rate));
        }
        (search, rates)
    }

    #[test]
    fn highest_passing_rate_is_found_and_confirmed() {
        let (_, rates) = search(1_000, |rate| rate <= 5);
        assert_eq!(rates, [0, 1, 2, 4, 8, 6, 5, 5]);
        for last in [1, 2, 3, 100, 999] {
            for limit in 0..=last {
                let (search, rates) = search(last, |rate| rate <= limit);
                assert_eq!((search.found(), search.is_confirmed()), (Some(limit), true));
                assert!(rates.len() <= 22 && rates.iter().all(|rate| *rate <= last), "{rates:?}");
                assert_eq!(rates.iter().filter(|rate| **rate == limit).count(), 2, "{rates:?}");
            }
        }
    }

    #[test]
    fn nothing_is_found_if_lowest_rate_fails() {
        let (search, rates) = search(1_000, |_| false);
        assert_eq!((search.found(), search.is_confirmed(), rates), (None, false, vec![0]));
    }

    #[test]
    fn rate_that_fails_its_second_run_is_stepped_down_from() {
        let mut runs = 0;
        // The server becomes slower after the first search.
        let (search, rates) = search(1_000, |rate| {
            runs += 1;
            rate <= if runs <= 7 { 5 } else { 3 }
        });
        assert_eq!(rates, [0, 1, 2, 4, 8, 6, 5, 5, 4, 3, 3]);
        assert_eq!((search.found(), search.is_confirmed()), (Some(3), true));
    }

    #[test]
    fn ignored_run_is_repeated_and_counted() {
        let mut search = Search::new(10);
        search.record(0, true);
        search.ignore_run();
        assert_eq!((search.next(), search.runs()), (Some(1), 2));
    }

    #[test]
    fn number_of_runs_is_limited() {
        // The server passes in the first search, and again from a late run on.
        let until_again = |again: u32| {
            let mut runs = 0;
            search(1_000, |_| {
                runs += 1;
                runs <= 12 || runs >= again
            })
        };
        let (search, rates) = until_again(MAX_RUNS - 1);
        assert_eq!((rates.len(), search.is_confirmed()), (40, true));
        let (search, rates) = until_again(MAX_RUNS);
        assert_eq!((rates.len(), search.is_confirmed()), (40, false));
    }
}
