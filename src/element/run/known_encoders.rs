//! Encoders whose bit rate can be set while they run.

use glib::prelude::*;
use gst::prelude::*;

use crate::media::bandwidth::ChangeCost;

/// An encoder's factory, and how its bit rate is set.
#[derive(Debug)]
pub(super) struct KnownEncoder {
    factory: &'static str,
    /// Bit/s in one unit of its property `bitrate`.
    unit: u64,
    pub(super) cost: ChangeCost,
    /// A property that has to have one of these values for the encoder to keep to a bit
    /// rate at all.
    needs: Option<(&'static str, &'static [&'static str])>,
}

const KBIT: u64 = 1000;

/// By GStreamer's sources, and tried for x264enc and openh264enc.
const KNOWN_ENCODERS: [KnownEncoder; 15] = [
    free("x264enc", KBIT),
    KnownEncoder {
        needs: Some(("rate-control", &["bitrate", "buffer", "timestamp"])),
        ..free("openh264enc", 1)
    },
    resetting("vah264enc", KBIT),
    resetting("vah264lpenc", KBIT),
    resetting("nvh264enc", KBIT),
    free("nvcudah264enc", KBIT),
    free("nvautogpuh264enc", KBIT),
    free("qsvh264enc", KBIT),
    free("vaapih264enc", KBIT),
    free("vtenc_h264", KBIT),
    free("vtenc_h264_hw", KBIT),
    resetting("mfh264enc", KBIT),
    resetting("amfh264enc", KBIT),
    free("nvv4l2h264enc", 1),
    free("omxh264enc", 1),
];

const fn free(factory: &'static str, unit: u64) -> KnownEncoder {
    KnownEncoder {
        factory,
        unit,
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

/// Why an encoder's bit rate can't be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EncoderError {
    /// A control binding sets the property.
    Bound,
    /// The property did not take the value.
    Refused,
}

/// An encoder that follows a bit rate. It is not kept alive.
pub(super) struct Encoder {
    element: glib::WeakRef<gst::Element>,
    known: &'static KnownEncoder,
    /// What the user has set, in bit/s; 0 if the encoder chooses.
    pub(super) users: u64,
    /// What was set last, in bit/s.
    set: Option<u64>,
}

impl Encoder {
    /// `None` if the element is not known to follow a bit rate.
    pub(super) fn new(element: &gst::Element) -> Option<Self> {
        let factory = element.factory()?;
        let known = KNOWN_ENCODERS
            .iter()
            .find(|known| factory.name() == known.factory)?;
        let keeps_to_rate = known.needs.is_none_or(|(property, values)| {
            let value = element
                .has_property(property)
                .then(|| element.property_value(property));
            let nick = value.and_then(|value| {
                let (_, value) = glib::EnumValue::from_value(&value)?;
                Some(value.nick().to_owned())
            });
            nick.is_some_and(|nick| values.contains(&nick.as_str()))
        });
        let encoder = Self {
            element: element.downgrade(),
            known,
            users: 0,
            set: None,
        };
        let users = encoder.bit_rate().filter(|_| keeps_to_rate)?;
        Some(Self { users, ..encoder })
    }

    pub(super) fn is(&self, element: &gst::Element) -> bool {
        self.element.upgrade().as_ref() == Some(element)
    }

    pub(super) fn factory(&self) -> &'static str {
        self.known.factory
    }

    pub(super) fn cost(&self) -> ChangeCost {
        self.known.cost
    }

    /// Whether somebody else has set another bit rate since the last [`Self::set`]. It is
    /// the user's from then on.
    pub(super) fn notice_user(&mut self) -> bool {
        let (Some(set), Some(now)) = (self.set, self.bit_rate()) else {
            return false;
        };
        let is_users = now != set;
        if is_users {
            self.users = now;
            self.set = Some(now);
        }
        is_users
    }

    /// Sets the bit rate, in bit/s.
    pub(super) fn set(&mut self, bit_rate: u64) -> Result<(), EncoderError> {
        let Some(element) = self.element.upgrade() else {
            return Ok(());
        };
        if element.control_binding("bitrate").is_some() {
            return Err(EncoderError::Bound);
        }
        let units = (bit_rate / self.known.unit).max(1);
        if self.bit_rate() == Some(units * self.known.unit) {
            // To set it again would make some encoders begin anew.
            self.set = Some(units * self.known.unit);
            return Ok(());
        }
        let value = units.to_value();
        let kind = element.property_value("bitrate").type_();
        let value = value
            .transform_with_type(kind)
            .map_err(|_| EncoderError::Refused)?;
        element.set_property_from_value("bitrate", &value);
        let set = self.bit_rate();
        self.set = set;
        match set == Some(units * self.known.unit) {
            true => Ok(()),
            false => Err(EncoderError::Refused),
        }
    }

    /// Gives the encoder back the bit rate that the user has set.
    pub(super) fn restore(&mut self) {
        if !self.notice_user()
            && self.set.take().is_some_and(|set| set != self.users)
            && let Some(element) = self.element.upgrade()
        {
            let units = self.users / self.known.unit;
            let kind = element.property_value("bitrate").type_();
            if let Ok(value) = units.to_value().transform_with_type(kind) {
                element.set_property_from_value("bitrate", &value);
            }
        }
    }

    fn bit_rate(&self) -> Option<u64> {
        let element = self.element.upgrade()?;
        let value = element
            .has_property("bitrate")
            .then(|| element.property_value("bitrate"))?;
        let units = value.transform::<u64>().ok()?.get::<u64>().ok()?;
        Some(units.saturating_mul(self.known.unit))
    }
}
