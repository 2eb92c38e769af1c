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

/// An encoder that follows a bit rate. It is not kept alive. All clones are one.
#[derive(Clone)]
pub(crate) struct Encoder {
    element: glib::WeakRef<gst::Element>,
    known: &'static KnownEncoder,
    rates: Arc<Mutex<Rates>>,
}

/// In bit/s.
#[derive(Clone, Copy)]
struct Rates {
    /// What the user has set; 0 if the encoder chooses.
    users: u64,
    /// What was set last.
    set: Option<u64>,
    is_given_back: bool,
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
            set: None,
            is_given_back: false,
        };
        Some(Self {
            element: element.downgrade(),
            known,
            rates: Arc::new(Mutex::new(rates)),
        })
    }

    pub(crate) fn is(&self, element: &gst::Element) -> bool {
        self.element.upgrade().as_ref() == Some(element)
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

    /// Sets the bit rate as its user would, in bit/s. An encoder that does not take it keeps
    /// its own.
    pub(crate) fn set_users(&self, bit_rate: u64) {
        if let Some(element) = self.element.upgrade() {
            let units = bit_rate / self.known.unit;
            let _ = self.known.place.write(&element, units);
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

    /// Sets the bit rate, in bit/s.
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
        if self.lock().is_given_back {
            return Ok(());
        }
        let units = (bit_rate / self.known.unit).max(1);
        let set = self.write(&element, units);
        // A stop on another thread may have come first.
        if self.lock().is_given_back {
            self.restore();
        }
        set
    }

    /// Gives the encoder back the bit rate that the user has set.
    pub(crate) fn restore(&self) {
        let users = {
            let rates = self.lock();
            rates.set.map(|_| rates.users)
        };
        if let (Some(users), Some(element)) = (users, self.element.upgrade())
            && !self.notice_user()
        {
            // It has taken this value before.
            let _ = self.write(&element, users / self.known.unit);
        }
    }

    /// Gives the encoder back for good.
    pub(crate) fn give_back(&self) {
        self.lock().is_given_back = true;
        self.restore();
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
}
