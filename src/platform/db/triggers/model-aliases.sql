-- Aliases of models. A row in model_alias_move is the only way to move an alias; triggers check the
-- move and apply it, so that the history and the present cannot differ.

-- A move names the version that carries the alias now, and gives the alias only to a version that may
-- carry it. Two moves at once cannot both pass.
CREATE TRIGGER model_alias_move_guard BEFORE INSERT ON model_alias_move
WHEN NEW.from_version_id IS NOT (SELECT a.version_id FROM model_alias a WHERE a.model_id = NEW.model_id AND a.alias = NEW.alias)
  OR (NEW.version_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM model_version v JOIN model m ON m.id = v.model_id
    WHERE v.id = NEW.version_id AND v.model_id = NEW.model_id AND (
      v.state IN ('approved', 'released')
      OR (v.state IN ('draft', 'in_review') AND NEW.alias <> 'production'
        AND NOT EXISTS (SELECT 1 FROM json_each(m.protected_aliases) p WHERE p.value = NEW.alias)))))
BEGIN
  SELECT RAISE(ABORT, 'this version cannot carry this alias');
END;

-- A move changes model_alias, and releases or takes back versions where the alias is production.
CREATE TRIGGER model_alias_move_apply AFTER INSERT ON model_alias_move
BEGIN
  DELETE FROM model_alias WHERE NEW.version_id IS NULL AND model_id = NEW.model_id AND alias = NEW.alias;
  INSERT INTO model_alias (model_id, alias, version_id, move_id, moved_at)
    SELECT NEW.model_id, NEW.alias, NEW.version_id, NEW.id, NEW.at WHERE NEW.version_id IS NOT NULL
    ON CONFLICT (model_id, alias) DO UPDATE SET version_id = excluded.version_id, move_id = excluded.move_id, moved_at = excluded.moved_at;
  UPDATE model_version SET state = 'approved', version = version + 1, updated_at = NEW.at
    WHERE NEW.alias = 'production' AND id = NEW.from_version_id AND id IS NOT NEW.version_id AND state = 'released';
  UPDATE model_version SET state = 'released', version = version + 1, updated_at = NEW.at, released_at = coalesce(released_at, NEW.at)
    WHERE NEW.alias = 'production' AND id = NEW.version_id AND state = 'approved';
END;

-- No statement changes a move.
CREATE TRIGGER model_alias_move_keep BEFORE UPDATE ON model_alias_move
BEGIN
  SELECT RAISE(ABORT, 'the history of aliases is append-only');
END;

-- No statement deletes a move.
CREATE TRIGGER model_alias_move_stay BEFORE DELETE ON model_alias_move
BEGIN
  SELECT RAISE(ABORT, 'the history of aliases is append-only');
END;
