//! Encoders whose bit rate can be set while they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use glib::prelude::*;
use gst::prelude::*;

use crate::media::bandwidth::ChangeCost;

/// An encoder's factory, and how its bit rate is set.
#[derive(Debug)]
pub(super) struct KnownEncoder {
    factory: &'static str,
    /// Bit/s in one unit of its bit rate.
    unit: u64,
    place: Place,
    cost: ChangeCost,
    /// A property that has to have one of these values for the encoder to keep to a bit
    /// rate at all.
    needs: Option<(&'static str, &'static [&'static str])>,
}

/// Where an encoder's bit rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In this property.
    Property(&'static str),
    /// In this field of the property `extra-controls`, a structure.
    ExtraControl(&'static str),
}

const BITRATE: Place = Place::Property("bitrate");
const EXTRA_CONTROLS: &str = "extra-controls";

const KBIT: u64 = 1000;

/// By GStreamer's sources, and tried for x264enc and openh264enc.
const KNOWN_ENCODERS: [KnownEncoder; 18] = [
    KnownEncoder {
        needs: Some(("pass", &["cbr", "pass1", "pass2", "pass3"])),
        ..free("x264enc", KBIT)
    },
    KnownEncoder {
        needs: Some(("rate-control", &["bitrate", "buffer", "timestamp"])),
        ..free("openh264enc", 1)
    },
    resetting("vah264enc", KBIT),
    resetting("vah264lpenc", KBIT),
    resetting("nvh264enc", KBIT),
    free("nvcudah264enc", KBIT),
    free("nvautogpuh264enc", KBIT),
    free("nvd3d11h264enc", KBIT),
    free("qsvh264enc", KBIT),
    free("vaapih264enc", KBIT),
    free("vtenc_h264", KBIT),
    free("vtenc_h264_hw", KBIT),
    resetting("mfh264enc", KBIT),
    resetting("d3d12h264enc", KBIT),
    resetting("amfh264enc", KBIT),
    free("nvv4l2h264enc", 1),
    free("omxh264enc", 1),
    KnownEncoder {
        // From 1.30 on it has a property too.
        place: Place::ExtraControl("video_bitrate"),
        ..free("v4l2h264enc", 1)
    },
];

const fn free(factory: &'static str, unit: u64) -> KnownEncoder {
    KnownEncoder {
        factory,
        unit,
        place: BITRATE,
        cost: ChangeCost::Free,
        needs: None,
    }
}

/// It begins anew with each change, with a key frame.
const fn resetting(factory: &'static str, unit: u64) -> KnownEncoder {
    KnownEncoder {
        cost: ChangeCost::KeyFrame,
        ..free(factory, unit)
    }
}

/// The factory of the first device, of which others have one of their own, such as
/// `qsvh264device1enc` or `varenderD129h264lpenc` (GStreamer's sources).
fn first_device(factory: &str) -> String {
    ["device", "renderD"]
        .iter()
        .find_map(|word| without_number(factory, word))
        .unwrap_or_else(|| factory.to_owned())
}

/// The name without a word and the number that follows it.
fn without_number(name: &str, word: &str) -> Option<String> {
    let (before, after) = name.split_once(word)?;
    let rest = after.trim_start_matches(|it: char| it.is_ascii_digit());
    (rest.len() < after.len()).then(|| format!("{before}{rest}"))
}

impl KnownEncoder {
    fn of(factory: &str) -> Option<&'static Self> {
        let factory = first_device(factory);
        KNOWN_ENCODERS.iter().find(|known| known.factory == factory)
    }

    fn keeps_to_rate(&self, element: &gst::Element) -> bool {
        self.needs.is_none_or(|(property, values)| {
            let value = element
                .has_property(property)
                .then(|| element.property_value(property));
            let nick = value.and_then(|value| {
                let (_, value) = glib::EnumValue::from_value(&value)?;
                Some(value.nick().to_owned())
            });
            nick.is_some_and(|nick| values.contains(&nick.as_str()))
        })
    }
}

impl Place {
    fn property(self) -> &'static str {
        match self {
            Self::Property(name) => name,
            Self::ExtraControl(_) => EXTRA_CONTROLS,
        }
    }

    /// The bit rate in the encoder's unit; 0 if the encoder chooses. `None` without the
    /// property.
    fn read(self, element: &gst::Element) -> Option<u64> {
        let property = self.property();
        let value = element
            .has_property(property)
            .then(|| element.property_value(property))?;
        match self {
            Self::Property(_) => value.transform::<u64>().ok()?.get().ok(),
            Self::ExtraControl(field) => {
                let controls = value.get::<Option<gst::Structure>>().ok()?;
                let rate = controls.and_then(|controls| controls.get::<i32>(field).ok());
                Some(rate.map_or(0, |rate| u64::try_from(rate).unwrap_or(0)))
            }
        }
    }

    /// Sets it; 0 lets the encoder choose.
    fn write(self, element: &gst::Element, units: u64) -> Result<(), EncoderError> {
        let property = self.property();
        let value = element.property_value(property);
        let value = match self {
            Self::Property(_) => units.to_value().transform_with_type(value.type_()).ok(),
            Self::ExtraControl(field) => {
                let controls = value.get::<Option<gst::Structure>>().ok().flatten();
                let mut controls =
                    controls.unwrap_or_else(|| gst::Structure::new_empty("controls"));
                match i32::try_from(units) {
                    Ok(0) => controls.remove_field(field),
                    Ok(units) => controls.set(field, units),
                    Err(_) => return Err(EncoderError::Refused),
                }
                Some(controls.to_value())
            }
        };
        element.set_property_from_value(property, &value.ok_or(EncoderError::Refused)?);
        Ok(())
    }
}

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
            self.known.place.write(element, units)?;
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
    fn encoders_of_other_devices_are_known_too() {
        let others = [
            ("qsvh264device1enc", "qsvh264enc"),
            ("nvh264device1enc", "nvh264enc"),
            ("nvcudah264device12enc", "nvcudah264enc"),
            ("nvd3d11h264device1enc", "nvd3d11h264enc"),
            ("varenderD129h264enc", "vah264enc"),
            ("varenderD129h264lpenc", "vah264lpenc"),
            ("mfh264device1enc", "mfh264enc"),
            ("amfh264device1enc", "amfh264enc"),
            ("d3d12h264device1enc", "d3d12h264enc"),
            ("nvautogpuh264enc", "nvautogpuh264enc"),
        ];
        for (other, first) in others {
            let known = KnownEncoder::of(other).map(|known| known.factory);
            assert_eq!(known, Some(first), "{other}");
        }
        for other in ["qsvh265device1enc", "h264deviceenc", "device1", "x265enc"] {
            assert!(KnownEncoder::of(other).is_none(), "{other}");
        }
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
    fn a_bit_rate_among_other_controls() {
        gst::init().unwrap();
        let place = Place::ExtraControl("video_bitrate");
        // Any element with a structure in place of the encoder, which needs a device.
        let Ok(element) = gst::ElementFactory::make("v4l2src").build() else {
            return;
        };
        assert_eq!(place.read(&element), Some(0));
        let controls = gst::Structure::builder("controls")
            .field("repeat_sequence_header", 1)
            .build();
        element.set_property(EXTRA_CONTROLS, controls);
        assert_eq!(place.write(&element, 1_200_000), Ok(()));
        assert_eq!(place.read(&element), Some(1_200_000));
        let too_much = u64::from(u32::MAX);
        assert_eq!(place.write(&element, too_much), Err(EncoderError::Refused));
        assert_eq!(place.write(&element, 0), Ok(()));
        let controls: gst::Structure = element.property(EXTRA_CONTROLS);
        assert_eq!(
            controls.to_string(),
            "controls, repeat_sequence_header=(int)1;"
        );
    }
}
