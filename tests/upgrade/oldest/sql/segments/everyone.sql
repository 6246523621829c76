-- Title: Everyone who ever did something or has a profile
-- grain: user_id
select user_id from activity
union
select user_id from profiles
