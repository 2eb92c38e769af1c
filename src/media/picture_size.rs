//! The size at which a picture leaves.

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSize {
    /// The width.
    pub width: u32,
    /// The height.
    pub height: u32,
}

/// The bounds of a picture's sides, in square pixels.
#[derive(Clone, Copy, Debug)]
pub struct SideBounds {
    /// The shorter side is at least this long.
    pub min: u32,
    /// The longer side is at most this long.
    pub max_long: u32,
    /// The shorter side is at most this long.
    pub max_short: u32,
}

/// A picture that was fitted into its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FittedPicture {
    /// Its size, with even sides.
    pub size: PictureSize,
    /// Whether borders fill it up: no size within the bounds has its shape.
    pub has_borders: bool,
}

impl PictureSize {
    /// The largest size of the same shape within the bounds, but not larger than the
    /// picture unless it is too small. The result has square pixels.
    ///
    /// `pixel_shape` is width to height of a pixel; parts of 0 count as 1.
    #[must_use]
    pub fn fit(self, pixel_shape: (u32, u32), bounds: SideBounds) -> FittedPicture {
        let shape = f64::from(pixel_shape.0.max(1)) / f64::from(pixel_shape.1.max(1));
        // The side that is stretched is the one that grows, so no detail is lost.
        let (width, height) = match shape >= 1.0 {
            true => (
                f64::from(self.width.max(1)) * shape,
                f64::from(self.height.max(1)),
            ),
            false => (
                f64::from(self.width.max(1)),
                f64::from(self.height.max(1)) / shape,
            ),
        };
        let (long, short) = (width.max(height), width.min(height));
        let largest = (f64::from(bounds.max_long) / long).min(f64::from(bounds.max_short) / short);
        let smallest = f64::from(bounds.min) / short;
        let scale = largest.min(smallest.max(1.0));
        let has_borders = largest < smallest;
        let side = |side: f64, is_short: bool| match has_borders && is_short {
            true => bounds.min,
            false => even(side * scale),
        };
        FittedPicture {
            size: PictureSize {
                width: side(width, width < height),
                height: side(height, height <= width),
            },
            has_borders,
        }
    }

    /// The size with both sides multiplied by a fraction, even. The shape is kept, so the
    /// fraction is larger where the shorter side would fall below `min`.
    #[must_use]
    pub fn reduced(self, (numerator, denominator): (u32, u32), min: u32) -> Self {
        let by = f64::from(numerator) / f64::from(denominator.max(1));
        let short = f64::from(self.width.min(self.height).max(1));
        let by = by.max(f64::from(min) / short).min(1.0);
        Self {
            width: even(f64::from(self.width) * by),
            height: even(f64::from(self.height) * by),
        }
    }
}

/// The nearest even number, at least 2: H.264 in 4:2:0 has chroma for pairs of pixels.
fn even(side: f64) -> u32 {
    // Bounded by the sides of SideBounds, so nothing is cut off.
    let halves = (side / 2.0).round().clamp(1.0, f64::from(u16::MAX));
    2 * halves as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: SideBounds = SideBounds {
        min: 160,
        max_long: 1280,
        max_short: 720,
    };

    fn fit(width: u32, height: u32, pixel_shape: (u32, u32)) -> (u32, u32, bool) {
        let fitted = PictureSize { width, height }.fit(pixel_shape, BOUNDS);
        (fitted.size.width, fitted.size.height, fitted.has_borders)
    }

    #[test]
    fn shape_is_kept_within_the_bounds() {
        for ((width, height), expected) in [
            ((1280, 720), (1280, 720)),
            ((640, 360), (640, 360)),
            ((1920, 1080), (1280, 720)),
            ((1440, 1080), (960, 720)),
            ((3840, 1600), (1280, 534)),
            ((1366, 768), (1280, 720)),
            ((7680, 4320), (1280, 720)),
            ((1080, 1920), (720, 1280)),
            ((720, 720), (720, 720)),
            ((2000, 2000), (720, 720)),
            ((641, 361), (642, 362)),
        ] {
            let (got_width, got_height, has_borders) = fit(width, height, (1, 1));
            assert_eq!((got_width, got_height), expected, "{width}x{height}");
            assert!(!has_borders, "{width}x{height}");
        }
    }

    #[test]
    fn pixels_become_square() {
        assert_eq!(fit(720, 576, (16, 15)), (768, 576, false));
        assert_eq!(fit(720, 480, (8, 9)), (720, 540, false));
        assert_eq!(fit(720, 576, (64, 45)), (1024, 576, false));
        assert_eq!(fit(640, 360, (0, 0)), (640, 360, false));
    }

    #[test]
    fn small_pictures_grow() {
        assert_eq!(fit(1, 1, (1, 1)), (160, 160, false));
        assert_eq!(fit(8, 8, (1, 1)), (160, 160, false));
        assert_eq!(fit(180, 120, (1, 1)), (240, 160, false));
        assert_eq!(fit(90, 120, (1, 1)), (160, 214, false));
        assert_eq!(fit(0, 0, (1, 1)), (160, 160, false));
    }

    #[test]
    fn strips_get_borders() {
        assert_eq!(fit(1280, 160, (1, 1)), (1280, 160, false));
        assert_eq!(fit(10_000, 100, (1, 1)), (1280, 160, true));
        assert_eq!(fit(10, 4000, (1, 1)), (160, 1280, true));
        assert_eq!(fit(u32::MAX, 1, (1, 1)), (1280, 160, true));
    }

    #[test]
    fn every_size_is_even_and_within_the_bounds() {
        for width in (1..4000).step_by(37) {
            for height in (1..4000).step_by(41) {
                let (width, height, _) = fit(width, height, (16, 11));
                assert_eq!((width % 2, height % 2), (0, 0));
                assert!(width.max(height) <= 1280 && width.min(height) <= 720);
                assert!(width.min(height) >= 160);
            }
        }
    }

    #[test]
    fn reduced_sizes() {
        let reduced = |width, height, by| {
            let size = PictureSize { width, height }.reduced(by, 160);
            (size.width, size.height)
        };
        assert_eq!(reduced(1280, 720, (1, 2)), (640, 360));
        assert_eq!(reduced(1280, 720, (3, 4)), (960, 540));
        assert_eq!(reduced(320, 240, (1, 2)), (214, 160));
        assert_eq!(reduced(160, 160, (1, 2)), (160, 160));
        assert_eq!(reduced(1280, 720, (1, 1)), (1280, 720));
    }
}
