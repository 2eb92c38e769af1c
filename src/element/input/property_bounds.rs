//! What a property can be set to.

/// Whether a property can be set to a value of its type. The bindings panic if it can't.
pub(super) fn takes(property: &glib::ParamSpec, value: &glib::Value) -> bool {
    is_writable(property) && is_within_bounds(property, value)
}

/// Whether a property of an element that exists can be set.
pub(super) fn is_writable(property: &glib::ParamSpec) -> bool {
    let flags = property.flags();
    flags.contains(glib::ParamFlags::WRITABLE) && !flags.contains(glib::ParamFlags::CONSTRUCT_ONLY)
}

fn is_within_bounds(property: &glib::ParamSpec, value: &glib::Value) -> bool {
    fn within<T>(value: &glib::Value, min: T, max: T) -> bool
    where
        T: PartialOrd + for<'a> glib::value::FromValue<'a> + 'static,
    {
        let inner = value.get_owned::<T>();
        inner.is_ok_and(|inner| min <= inner && inner <= max)
    }
    if let Some(bounds) = property.downcast_ref::<glib::ParamSpecInt>() {
        within(value, bounds.minimum(), bounds.maximum())
    } else if let Some(bounds) = property.downcast_ref::<glib::ParamSpecUInt>() {
        within(value, bounds.minimum(), bounds.maximum())
    } else if let Some(bounds) = property.downcast_ref::<glib::ParamSpecInt64>() {
        within(value, bounds.minimum(), bounds.maximum())
    } else if let Some(bounds) = property.downcast_ref::<glib::ParamSpecUInt64>() {
        within(value, bounds.minimum(), bounds.maximum())
    } else if let Some(bounds) = property.downcast_ref::<glib::ParamSpecFloat>() {
        within(value, bounds.minimum(), bounds.maximum())
    } else if let Some(bounds) = property.downcast_ref::<glib::ParamSpecDouble>() {
        within(value, bounds.minimum(), bounds.maximum())
    } else {
        true
    }
}
