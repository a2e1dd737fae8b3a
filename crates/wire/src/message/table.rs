//! Makes of a list of messages their structs, and tables by number.

/// Each message is its number, its limit in bytes, its name and its fields.
macro_rules! messages {
    ($($(#[$doc:meta])* $kind:literal $limit:expr, $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

            impl Message for $name {
                const KIND: u16 = $kind;
                const LIMIT: u32 = $limit;
                const NAME: &'static str = stringify!($name);
            }
        )*

        /// Number, name and limit of each, in the order of their numbers.
        pub(super) const TABLE: &[(u16, &str, u32)] = &[$(($kind, stringify!($name), $limit)),*];

        /// The limit of a type that is in this list.
        pub(super) fn limit(kind: u16) -> Option<u32> {
            match kind {
                $($kind => Some($limit),)*
                _ => None,
            }
        }

        /// The name of a type that is in this list.
        pub(super) fn name(kind: u16) -> Option<&'static str> {
            match kind {
                $($kind => Some(stringify!($name)),)*
                _ => None,
            }
        }

        /// Reads and shows a body of a type that is in this list.
        pub(super) fn describe(kind: u16, body: &[u8]) -> Option<String> {
            match kind {
                $($kind => Some($name::decode(body).map_or_else(|e| e.to_string(), |m| format!("{m:?}"))),)*
                _ => None,
            }
        }
    };
}
