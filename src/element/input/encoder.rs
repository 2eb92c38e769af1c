//! The bit rate of an encoder, which the user, the application and the network set.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

use super::known_encoders::{KnownEncoder, NotTaken};
use crate::media::bandwidth::ChangeCost;

/// Why an encoder's bit rate was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EncoderError {
    /// A control binding sets it.
    Bound,
    /// The encoder did not take the value.
    Refused,
    /// Somebody else has set another one since the last [`Encoder::set`]. It is the
    /// user's from now on.
    UserChanged,
}

/// An encoder that follows a bit rate. It is not kept alive. All clones know the same of it.
#[derive(Clone)]
pub(crate) struct Encoder {
    element: glib::WeakRef<gst::Element>,
    known: &'static KnownEncoder,
    rates: Arc<Mutex<Rates>>,
    /// Who may set it: the one to whom it was lent last.
    loan: u64,
}

/// In bit/s.
#[derive(Clone, Copy)]
struct Rates {
    /// What the user has set; 0 if the encoder chooses.
    users: u64,
    /// Whether the user's was told by [`Encoder::set_users`] and is not noticed yet.
    has_new_users: bool,
    /// What was set last.
    set: Option<u64>,
    /// Whether that is for the network's sake.
    is_held: bool,
    /// Counts loans and returns.
    loan: u64,
}

impl Encoder {
    /// `None` if the element is not known to follow a bit rate.
    pub(crate) fn new(element: &gst::Element) -> Option<Self> {
        let factory = element.factory()?;
        let known = KnownEncoder::of(&factory.name())?;
        let units = known
            .place
            .read(element)
            .filter(|_| known.keeps_to_rate(element))?;
        let rates = Rates {
            users: units.saturating_mul(known.unit),
            has_new_users: false,
            set: None,
            is_held: false,
            loan: 0,
        };
        Some(Self {
            element: element.downgrade(),
            known,
            rates: Arc::new(Mutex::new(rates)),
            loan: 0,
        })
    }

    /// Lends the encoder to a session, until [`Self::give_back`].
    pub(crate) fn lend(&self) -> Self {
        self.read_users();
        let mut lent = self.clone();
        let mut rates = self.lock();
        rates.loan += 1;
        lent.loan = rates.loan;
        rates.has_new_users = false;
        drop(rates);
        lent
    }

    /// Whether both are of the same element.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let element = self.element.upgrade();
        element.is_some() && element == other.element.upgrade()
    }

    pub(crate) fn factory(&self) -> &'static str {
        self.known.factory
    }

    pub(crate) fn cost(&self) -> ChangeCost {
        self.known.cost
    }

    /// What the user has set, in bit/s; 0 if the encoder chooses.
    pub(crate) fn users(&self) -> u64 {
        self.lock().users
    }

    /// Takes a bit rate as its user's, in bit/s. One that a session holds lower stays there.
    pub(crate) fn set_users(&self, bit_rate: u64) {
        let units = bit_rate / self.known.unit;
        let is_held = {
            let mut rates = self.lock();
            rates.users = units.saturating_mul(self.known.unit);
            rates.has_new_users = true;
            rates.is_held
        };
        if !is_held && let Some(element) = self.element.upgrade() {
            // An encoder that does not take it keeps its own.
            let _ = self.write(&element, units);
        }
    }

    /// Begins with a lower bit rate than the user's, in bit/s, for the session to which it
    /// will be lent.
    pub(crate) fn hold(&self, bit_rate: u64) {
        let users = self.users();
        let lowest = if users > 0 {
            users.min(bit_rate)
        } else {
            bit_rate
        };
        if let Some(element) = self.element.upgrade().filter(|_| !self.is_bound()) {
            self.lock().is_held = true;
            let _ = self.write(&element, self.units(lowest));
        }
    }

    /// Whether a control binding sets the bit rate.
    pub(crate) fn is_bound(&self) -> bool {
        let element = self.element.upgrade();
        element.is_some_and(|element| {
            element
                .control_binding(self.known.place.property())
                .is_some()
        })
    }

    /// Whether somebody else has set another bit rate since the last [`Self::set`]. It is
    /// the user's from then on.
    pub(crate) fn notice_user(&self) -> bool {
        let was_set = self.read_users();
        std::mem::take(&mut self.lock().has_new_users) || was_set
    }

    /// Takes a bit rate that is not what was set last for the user's. Returns whether it is.
    fn read_users(&self) -> bool {
        let Some(now) = self.bit_rate() else {
            return false;
        };
        let mut rates = self.lock();
        let is_users = rates.set.is_some_and(|set| set != now);
        if is_users {
            (rates.users, rates.set) = (now, Some(now));
        }
        is_users
    }

    /// Sets the bit rate, in bit/s. Does nothing once the encoder was given back.
    pub(crate) fn set(&self, bit_rate: u64) -> Result<(), EncoderError> {
        let Some(element) = self.element.upgrade() else {
            return Ok(());
        };
        if self.is_bound() {
            return Err(EncoderError::Bound);
        }
        if self.notice_user() {
            return Err(EncoderError::UserChanged);
        }
        {
            let mut rates = self.lock();
            if rates.loan != self.loan {
                return Ok(());
            }
            rates.is_held = true;
        }
        let set = self.write(&element, self.units(bit_rate));
        // A stop on another thread may have come first.
        let is_returned = {
            let rates = self.lock();
            rates.loan != self.loan && !rates.is_held
        };
        if is_returned {
            self.restore();
        }
        set
    }

    /// Gives the encoder back the bit rate that the user has set.
    pub(crate) fn restore(&self) {
        let users = {
            let mut rates = self.lock();
            rates.is_held = false;
            rates.set.map(|_| rates.users)
        };
        if let (Some(users), Some(element)) = (users, self.element.upgrade())
            && !self.read_users()
        {
            // It has taken this value before.
            let _ = self.write(&element, users / self.known.unit);
        }
    }

    /// Gives the encoder back for good, unless it was lent to somebody else since.
    pub(crate) fn give_back(&self) {
        {
            let mut rates = self.lock();
            if rates.loan != self.loan {
                return;
            }
            rates.loan += 1;
        }
        self.restore();
    }

    fn units(&self, bit_rate: u64) -> u64 {
        (bit_rate / self.known.unit).max(1)
    }

    fn write(&self, element: &gst::Element, units: u64) -> Result<(), EncoderError> {
        let wanted = Some(units.saturating_mul(self.known.unit));
        // To set it again would make some encoders begin anew.
        if self.bit_rate() != wanted {
            let taken = self.known.place.write(element, units);
            taken.map_err(|NotTaken| EncoderError::Refused)?;
        }
        let set = self.bit_rate();
        self.lock().set = set;
        match set == wanted {
            true => Ok(()),
            false => Err(EncoderError::Refused),
        }
    }

    fn bit_rate(&self) -> Option<u64> {
        let units = self.known.place.read(&self.element.upgrade()?)?;
        Some(units.saturating_mul(self.known.unit))
    }

    fn lock(&self) -> MutexGuard<'_, Rates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(launch: &str) -> (gst::Element, Option<Encoder>) {
        gst::init().unwrap();
        let element = gst::parse::launch(launch).unwrap();
        let encoder = Encoder::new(&element);
        (element, encoder)
    }

    fn bit_rate(element: &gst::Element) -> u32 {
        element.property("bitrate")
    }

    #[test]
    fn units_are_the_encoders() {
        let openh264 = "openh264enc rate-control=bitrate bitrate=2500000";
        for (launch, unit) in [("x264enc bitrate=2500", 1000), (openh264, 1)] {
            let (element, encoder) = encoder(launch);
            let encoder = encoder.unwrap();
            assert_eq!(encoder.users(), 2_500_000);
            assert_eq!(encoder.set(1_200_999), Ok(()), "{launch}");
            assert_eq!(bit_rate(&element), 1_200_999 / unit);
            encoder.give_back();
            assert_eq!(bit_rate(&element), 2_500_000 / unit);
            assert_eq!(encoder.set(1_200_000), Ok(()));
            assert_eq!(bit_rate(&element), 2_500_000 / unit, "it was given back");
        }
    }

    #[test]
    fn an_encoder_of_constant_quality_follows_no_bit_rate() {
        for launch in [
            "openh264enc",
            "x264enc pass=quant",
            "x264enc pass=qual",
            "identity",
        ] {
            assert!(encoder(launch).1.is_none(), "{launch}");
        }
    }

    #[test]
    fn what_the_user_sets_is_not_overwritten() {
        let (element, encoder) = encoder("x264enc bitrate=2500");
        let encoder = encoder.unwrap();
        assert_eq!(encoder.set(1_200_000), Ok(()));
        element.set_property("bitrate", 800_u32);
        assert_eq!(encoder.set(1_500_000), Err(EncoderError::UserChanged));
        assert_eq!((bit_rate(&element), encoder.users()), (800, 800_000));
        assert_eq!(encoder.set(500_000), Ok(()));
        element.set_property("bitrate", 900_u32);
        encoder.restore();
        assert_eq!(bit_rate(&element), 900);
    }

    #[test]
    fn another_bit_rate_of_the_user_waits_while_a_session_holds_it() {
        let (element, own) = encoder("x264enc bitrate=2500");
        let own = own.unwrap();
        own.set_users(1_000_000);
        assert_eq!(bit_rate(&element), 1000);
        let lent = own.lend();
        assert_eq!(lent.set(300_000), Ok(()));
        own.set_users(2_000_000);
        assert_eq!(bit_rate(&element), 300, "it is the session's");
        assert_eq!(lent.set(400_000), Err(EncoderError::UserChanged));
        assert_eq!((lent.set(400_000), lent.users()), (Ok(()), 2_000_000));
        own.set_users(1_500_000);
        lent.give_back();
        assert_eq!(bit_rate(&element), 1500);
        own.set_users(1_200_000);
        assert_eq!(bit_rate(&element), 1200);
    }

    #[test]
    fn one_that_takes_the_place_of_another_begins_low_and_knows_its_own() {
        let (element, own) = encoder("x264enc bitrate=2500");
        let own = own.unwrap();
        own.hold(300_000);
        own.set_users(1_000_000);
        assert_eq!(bit_rate(&element), 300);
        own.hold(1_200_000);
        assert_eq!(bit_rate(&element), 1000, "no more than its own");
        let lent = own.lend();
        assert_eq!((lent.set(500_000), lent.users()), (Ok(()), 1_000_000));
        lent.give_back();
        assert_eq!(bit_rate(&element), 1000);
    }

    #[test]
    fn what_was_lent_anew_is_not_set_by_the_one_before() {
        let (element, own) = encoder("x264enc bitrate=2500");
        let own = own.unwrap();
        let (before, after) = (own.lend(), own.lend());
        assert_eq!(after.set(800_000), Ok(()));
        assert_eq!(before.set(900_000), Ok(()));
        before.give_back();
        assert_eq!(bit_rate(&element), 800);
        after.give_back();
        assert_eq!(bit_rate(&element), 2500);
    }
}
