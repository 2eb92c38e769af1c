//! The child `signaller`, where whipclientsink has its endpoint and token: its launch lines
//! and applications set `signaller::whip-endpoint` and `signaller::auth-token`.

use glib::subclass::prelude::*;

/// The name of the child, and of the property that has it.
pub(super) const SIGNALLER: &str = "signaller";

glib::wrapper! {
    /// Some properties of an `ivswhipsink` a second time. It keeps no values, and does not
    /// keep the element alive.
    pub struct Signaller(ObjectSubclass<imp::Signaller>);
}

impl Signaller {
    pub(super) fn new(element: &gst::Element) -> Self {
        let signaller: Self = glib::Object::new();
        signaller.imp().element.set(Some(element));
        signaller
    }
}

mod imp {
    use std::sync::LazyLock;

    use glib::prelude::*;
    use glib::subclass::prelude::*;
    use gst::prelude::*;

    use super::super::settings::DEFAULT_TIMEOUT;
    use crate::ivs::GLOBAL_ENDPOINT;

    #[derive(Default)]
    pub struct Signaller {
        pub(super) element: glib::WeakRef<gst::Element>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Signaller {
        const NAME: &'static str = "GstIvsWhipSinkSignaller";
        type Type = super::Signaller;
    }

    impl ObjectImpl for Signaller {
        fn properties() -> &'static [glib::ParamSpec] {
            static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
                vec![
                    glib::ParamSpecString::builder("whip-endpoint")
                        .default_value(Some(GLOBAL_ENDPOINT))
                        .nick("WHIP endpoint")
                        .blurb("The element's property of this name")
                        .mutable_ready()
                        .build(),
                    // Whoever prints readable properties would print the token.
                    glib::ParamSpecString::builder("auth-token")
                        .nick("Token")
                        .blurb("The element's property of this name")
                        .write_only()
                        .mutable_playing()
                        .build(),
                    glib::ParamSpecUInt::builder("timeout")
                        .default_value(DEFAULT_TIMEOUT)
                        .maximum(3600)
                        .nick("HTTP timeout")
                        .blurb("The element's property of this name, in seconds")
                        .mutable_ready()
                        .build(),
                    glib::ParamSpecBoolean::builder("use-link-headers")
                        .nick("Use Link headers")
                        .blurb("The element's property of this name")
                        .mutable_ready()
                        .build(),
                ]
            });
            &PROPERTIES
        }

        fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
            if let Some(element) = self.element.upgrade() {
                element.set_property_from_value(pspec.name(), value);
            }
        }

        fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
            let element = self.element.upgrade();
            element.map_or_else(
                || pspec.default_value().clone(),
                |element| element.property_value(pspec.name()),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;
    use crate::element::IvsWhipSink;

    fn element() -> gst::Element {
        gst::init().unwrap();
        glib::Object::new::<IvsWhipSink>().upcast()
    }

    #[test]
    fn each_property_is_the_elements() {
        let element = element();
        let signaller: glib::Object = element.property(SIGNALLER);
        let shape = |spec: &glib::ParamSpec| {
            let bounds = spec.downcast_ref::<glib::ParamSpecUInt>();
            let bounds = bounds.map(|spec| (spec.minimum(), spec.maximum()));
            (
                spec.flags(),
                spec.value_type(),
                format!("{:?}", spec.default_value()),
                bounds,
            )
        };
        for spec in signaller.list_properties() {
            let elements = element.find_property(spec.name()).unwrap();
            assert_eq!(shape(&spec), shape(&elements), "{}", spec.name());
        }
        for (name, value) in [
            ("whip-endpoint", "https://a.example/".to_value()),
            ("timeout", 7_u32.to_value()),
            ("use-link-headers", true.to_value()),
        ] {
            signaller.set_property_from_value(name, &value);
            for object in [element.upcast_ref(), &signaller] {
                let found = object.property_value(name);
                assert_eq!(format!("{found:?}"), format!("{value:?}"), "{name}");
            }
        }
    }

    #[test]
    fn it_outlives_the_element() {
        let element = element();
        let signaller: glib::Object = element.property(SIGNALLER);
        drop(element);
        signaller.set_property("timeout", 7_u32);
        signaller.set_property("auth-token", "a");
        assert_eq!(signaller.property::<u32>("timeout"), 15);
    }
}
