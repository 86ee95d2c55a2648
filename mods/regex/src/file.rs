//! The file of groups: `[n]` lines begin a group, each other line is an expression of it.

/// The expressions of each group, joined to one, in the order of the file; the numbers in brackets do not count.
///
/// # Errors
/// More groups or a longer group than allowed, or an expression before the first group; one sentence.
pub(crate) fn groups(text: &str, max_groups: usize, max_size: usize) -> Result<Vec<String>, String> {
    let mut groups: Vec<String> = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        if line.is_empty() || line.starts_with([' ', '\t', '\r', '#']) {
            continue;
        }
        if line.starts_with('[') {
            if groups.len() >= max_groups {
                return Err(format!(
                    "line {number}: more than {max_groups} groups; raise the parameter max_groups"
                ));
            }
            groups.push(String::new());
            continue;
        }
        let Some(group) = groups.last_mut() else {
            return Err(format!(
                "line {number}: an expression before the first group; write a line [0] before it"
            ));
        };
        if !group.is_empty() {
            group.push('|');
        }
        group.push_str(&format!("({})", line.trim_end_matches('\r')));
        if group.len() > max_size {
            return Err(format!(
                "line {number}: the group is longer than {max_size} bytes; raise the parameter group_max_size"
            ));
        }
    }
    Ok(groups.into_iter().map(|group| format!("({group})")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_alternatives() {
        let text = "# comment\n[0]\n^ab\nfoo\r\n\n[7]\n^zz\n# x\n yyy\n";
        assert_eq!(
            groups(text, 20, 100),
            Ok(vec!["((^ab)|(foo))".into(), "((^zz))".into()])
        );
    }

    #[test]
    fn limits_and_strays_are_refused() {
        assert!(groups("[0]\n[1]\n", 1, 100).unwrap_err().contains("line 2"));
        assert!(
            groups("[0]\nabcdef\n", 1, 5)
                .unwrap_err()
                .contains("group_max_size")
        );
        assert!(
            groups("abc\n", 1, 5)
                .unwrap_err()
                .contains("before the first group")
        );
    }
}
