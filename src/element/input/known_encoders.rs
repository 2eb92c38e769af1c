//! Encoders whose bit rate can be set while they run.

use glib::prelude::*;

use super::property_bounds::takes;
use crate::media::bandwidth::ChangeCost;

/// An encoder's factory, and how its bit rate is set.
#[derive(Debug)]
pub(super) struct KnownEncoder {
    pub(super) factory: &'static str,
    /// Bit/s in one unit of its bit rate.
    pub(super) unit: u64,
    pub(super) place: Place,
    pub(super) cost: ChangeCost,
    /// A property that has to have one of these values for the encoder to keep to a bit
    /// rate at all.
    needs: Option<(&'static str, &'static [&'static str])>,
}

/// Where an encoder's bit rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this property.
    Property(&'static str),
    /// In this field of the property `extra-controls`, a structure.
    ExtraControl(&'static str),
}

/// The encoder has no such property, or one that takes other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotTaken;

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
        needs: Some(("rate-control", &["bitrate", "buffer"])),
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
    pub(super) fn of(factory: &str) -> Option<&'static Self> {
        let factory = first_device(factory);
        KNOWN_ENCODERS.iter().find(|known| known.factory == factory)
    }

    pub(super) fn keeps_to_rate(&self, element: &gst::Element) -> bool {
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
    pub(super) fn property(self) -> &'static str {
        match self {
            Self::Property(name) => name,
            Self::ExtraControl(_) => EXTRA_CONTROLS,
        }
    }

    /// The bit rate in the encoder's unit; 0 if the encoder chooses. `None` without the
    /// property.
    pub(super) fn read(self, element: &gst::Element) -> Option<u64> {
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
    pub(super) fn write(self, element: &gst::Element, units: u64) -> Result<(), NotTaken> {
        let property = element.find_property(self.property()).ok_or(NotTaken)?;
        let value = element.property_value(property.name());
        let value = match self {
            Self::Property(_) => units.to_value().transform_with_type(value.type_()).ok(),
            Self::ExtraControl(field) => {
                let controls = value.get::<Option<gst::Structure>>().ok().flatten();
                let mut controls =
                    controls.unwrap_or_else(|| gst::Structure::new_empty("controls"));
                match i32::try_from(units) {
                    Ok(0) => controls.remove_field(field),
                    Ok(units) => controls.set(field, units),
                    Err(_) => return Err(NotTaken),
                }
                Some(controls.to_value())
            }
        };
        let value = value.filter(|value| takes(&property, value));
        element.set_property_from_value(property.name(), &value.ok_or(NotTaken)?);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout)]
mod tests {
    use super::*;

    /// Says which encoders could not be tried, and what those that are installed lack.
    #[test]
    fn every_property_is_one_of_its_encoder() {
        gst::init().unwrap();
        let mut lacking = Vec::new();
        for known in &KNOWN_ENCODERS {
            let Ok(encoder) = gst::ElementFactory::make(known.factory).build() else {
                println!("{} is not installed, so it is untried", known.factory);
                continue;
            };
            let (property, rate) = (known.place.property(), 1_000_000 / known.unit);
            let is_set = encoder.has_property(property)
                && known.place.write(&encoder, rate) == Ok(())
                && known.place.read(&encoder) == Some(rate);
            let mut missing: Vec<&str> = (!is_set).then_some(property).into_iter().collect();
            if let Some((property, values)) = known.needs {
                let lacks = |value: &&&str| !has_nick(&encoder, property, value);
                missing.extend(values.iter().filter(lacks));
            }
            println!("{}: {property}={rate}, without {missing:?}", known.factory);
            lacking.extend(missing.iter().map(|name| (known.factory, name.to_string())));
        }
        let is_software = |factory| ["x264enc", "openh264enc"].contains(&factory);
        lacking.retain(|(factory, _)| is_software(*factory));
        assert_eq!(lacking, []);
    }

    /// Whether a property has a value of this name.
    fn has_nick(element: &gst::Element, property: &str, nick: &str) -> bool {
        let class = element
            .find_property(property)
            .and_then(|property| glib::EnumClass::with_type(property.value_type()));
        class.is_some_and(|class| class.value_by_nick(nick).is_some())
    }

    #[test]
    fn a_bit_rate_that_an_encoder_does_not_take() {
        gst::init().unwrap();
        let encoder = gst::ElementFactory::make("x264enc").build().unwrap();
        for rate in [0, 2_048_001, u64::MAX] {
            assert_eq!(BITRATE.write(&encoder, rate), Err(NotTaken), "{rate}");
        }
        assert_eq!(BITRATE.write(&encoder, 2_048_000), Ok(()));
        let identity = gst::ElementFactory::make("identity").build().unwrap();
        assert_eq!(BITRATE.write(&identity, 1000), Err(NotTaken));
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
        assert_eq!(place.write(&element, too_much), Err(NotTaken));
        assert_eq!(place.write(&element, 0), Ok(()));
        let controls: gst::Structure = element.property(EXTRA_CONTROLS);
        assert_eq!(
            controls.to_string(),
            "controls, repeat_sequence_header=(int)1;"
        );
    }
}
