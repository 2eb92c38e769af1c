//! Pictures that are not in system memory, and how they get there.

use super::super::stream_format::{CapsError, MissingElement};

/// Elements that bring pictures of one kind of memory to system memory.
#[derive(Debug)]
pub(super) struct MemoryConverter {
    /// The caps feature of the memory.
    pub(super) feature: &'static str,
    /// The factories, in order.
    pub(super) elements: &'static [&'static str],
    /// The package that has them in Debian.
    package: &'static str,
}

/// By GStreamer's sources. Only those of OpenGL could be tried.
pub(super) const CONVERTERS: [MemoryConverter; 7] = [
    from(
        "memory:GLMemory",
        &["glcolorconvert", "gldownload"],
        "gstreamer1.0-gl",
    ),
    from(
        "memory:DMABuf",
        &["glupload", "glcolorconvert", "gldownload"],
        "gstreamer1.0-gl",
    ),
    from(
        "memory:VAMemory",
        &["vapostproc"],
        "gstreamer1.0-plugins-bad",
    ),
    from("memory:VASurface", &["vaapipostproc"], "gstreamer1.0-vaapi"),
    from(
        "memory:CUDAMemory",
        &["cudadownload"],
        "gstreamer1.0-plugins-bad",
    ),
    from(
        "memory:D3D11Memory",
        &["d3d11download"],
        "none; it is part of GStreamer for Windows",
    ),
    from(
        "memory:NVMM",
        &["nvvidconv"],
        "none; it is part of NVIDIA's system for Jetson",
    ),
];

const fn from(
    feature: &'static str,
    elements: &'static [&'static str],
    package: &'static str,
) -> MemoryConverter {
    MemoryConverter {
        feature,
        elements,
        package,
    }
}

impl MemoryConverter {
    /// The first of its elements that is not installed.
    fn missing(&self) -> Option<MissingElement> {
        let mut elements = self.elements.iter();
        let name = elements.find(|name| gst::ElementFactory::find(name).is_none())?;
        Some(MissingElement {
            name,
            package: self.package,
        })
    }

    pub(super) fn is_installed(&self) -> bool {
        self.missing().is_none()
    }
}

/// The caps features of the memories from which pictures can be taken here.
pub(super) fn raw_memories() -> impl Iterator<Item = &'static str> {
    let installed = CONVERTERS
        .iter()
        .filter(|converter| converter.is_installed());
    installed.map(|converter| converter.feature)
}

/// The converter for these features; `None` for system memory.
pub(super) fn converter(
    features: &gst::CapsFeaturesRef,
) -> Result<Option<&'static MemoryConverter>, CapsError> {
    let is_memory = |feature: &glib::GStr| {
        feature.as_str().starts_with("memory:") && feature.as_str() != "memory:SystemMemory"
    };
    // Others, such as `meta:GstVideoOverlayComposition`, are about metadata.
    let Some(feature) = features.iter().find(|feature| is_memory(feature)) else {
        return Ok(None);
    };
    let known = CONVERTERS
        .iter()
        .find(|converter| converter.feature == feature.as_str());
    let unknown = || {
        CapsError::Media(format!(
            "pictures in {feature}, which the element can't bring to system memory"
        ))
    };
    let converter = known.ok_or_else(unknown)?;
    match converter.missing() {
        None => Ok(Some(converter)),
        Some(missing) => Err(CapsError::Missing(missing)),
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout)]
mod tests {
    use super::*;

    /// The caps that a factory's pads in this direction may have.
    fn caps(factory: &gst::ElementFactory, direction: gst::PadDirection) -> gst::Caps {
        let templates = factory.static_pad_templates();
        let mut all = gst::Caps::new_empty();
        for template in templates {
            if template.direction() == direction {
                all.merge(template.caps());
            }
        }
        all
    }

    /// Whether a row takes its memory, its elements link in order, and videorate links to the
    /// last.
    fn links(row: &MemoryConverter) -> bool {
        let mut at = gst::Caps::builder("video/x-raw")
            .features([row.feature])
            .build();
        for name in row.elements {
            let factory = gst::ElementFactory::find(name).unwrap();
            if !at.can_intersect(&caps(&factory, gst::PadDirection::Sink)) {
                return false;
            }
            at = caps(&factory, gst::PadDirection::Src);
        }
        at.can_intersect(&gst::Caps::builder("video/x-raw").build())
    }

    /// Says which rows could not be read here.
    #[test]
    fn the_elements_of_a_row_link_in_order() {
        gst::init().unwrap();
        let (installed, missing): (Vec<_>, Vec<_>) =
            CONVERTERS.iter().partition(|row| row.is_installed());
        for row in &missing {
            println!("{} is unread: {:?}", row.feature, row.missing());
        }
        for row in &installed {
            println!("{} is read: {:?}", row.feature, row.elements);
            assert!(links(row), "{row:?}");
        }
        assert!(!installed.is_empty());
        let backwards = from("memory:GLMemory", &["gldownload", "glcolorconvert"], "");
        assert!(!links(&backwards));
    }

    #[test]
    fn memory_by_its_feature() {
        gst::init().unwrap();
        let of = |features: &str| converter(&features.parse::<gst::CapsFeatures>().unwrap());
        assert!(matches!(of("memory:SystemMemory"), Ok(None)));
        assert!(matches!(of("meta:GstVideoOverlayComposition"), Ok(None)));
        assert!(matches!(of("memory:Unheard"), Err(CapsError::Media(_))));
        for known in &CONVERTERS {
            match of(known.feature) {
                Ok(Some(found)) => assert_eq!(found.elements, known.elements),
                Err(CapsError::Missing(missing)) => assert!(known.elements.contains(&missing.name)),
                other => panic!("{other:?}"),
            }
        }
    }
}
