-- Links between runs and datasets.

-- The link count of a dataset decreases for each deleted link. Purges delete links in pieces; the
-- trigger counts them where they are deleted, so that the job for unused datasets needs no scan.
CREATE TRIGGER dataset_unlinked AFTER DELETE ON task_dataset
BEGIN
  UPDATE dataset SET links = links - 1 WHERE id = OLD.dataset_id;
END;
