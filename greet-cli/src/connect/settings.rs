//! What a server says first, and what it is willing to take (RFC 9113, section 6.5).

/// Identifier and value, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(u16, u32)>);

impl Settings {
    pub(crate) fn read(payload: &[u8]) -> Settings {
        let (settings, _) = payload.as_chunks::<6>();
        let setting = |&[id0, id1, a, b, c, d]: &[u8; 6]| {
            (u16::from_be_bytes([id0, id1]), u32::from_be_bytes([a, b, c, d]))
        };
        Settings(settings.iter().map(setting).collect())
    }

    /// Their published names in lower case; one that nobody knows keeps its number.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, u32)> {
        self.0.iter().map(|(id, value)| {
            let name = match id {
                1 => "header_table_size",
                2 => "enable_push",
                3 => "max_concurrent_streams",
                4 => "initial_window_size",
                5 => "max_frame_size",
                6 => "max_header_list_size",
                8 => "enable_connect_protocol",
                _ => return (format!("setting_{id}"), *value),
            };
            (name.to_owned(), *value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_names_and_half_a_setting_is_none() {
        let settings = Settings::read(&[0, 3, 0, 0, 0, 200, 0xf0, 1, 0, 0, 1, 0, 0, 4]);
        let named: Vec<_> = settings.named().collect();
        assert_eq!(
            named,
            [("max_concurrent_streams".to_owned(), 200), ("setting_61441".to_owned(), 256)]
        );
    }
}
